"""Worker groups as child processes of this one. A group ends when its standard input does."""

import subprocess
import sys
from pathlib import Path
from typing import IO

from .config import GroupConfig, encode


def start(config: GroupConfig, log: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    """Start the nanny of a group; its errors go to `log`."""
    command = [sys.executable, "-m", "interp_magics", "worker", "--config-from-stdin"]
    # In a session of its own, an interrupt in the pool's terminal does not end what the pool lets end.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=log,
        cwd=Path("/"),
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(encode(config))
    process.stdin.flush()
    return process


def stop(process: "subprocess.Popen[bytes]", patience: float = 3.0) -> None:
    """Close its standard input, and kill it when that is not enough."""
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
