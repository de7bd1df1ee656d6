"""Shared pools as their administrators start them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.pool.conftest import descendants, wait_for

INTERP = (sys.executable, "-m", "interp_magics")


def free_ports(count: int = 3) -> int:
    """The first of so many ports in a row that nobody has now."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            start = first.getsockname()[1]
        with suppress(OSError, OverflowError):
            for port in range(start, start + count):
                with socket.socket() as other:
                    other.bind(("127.0.0.1", port))
            return start


@dataclass
class Served:
    """A broker in a directory, which may be ended and started again, and workers that are started apart."""

    directory: Path
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[str] | None" = None
    workers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def connection(self) -> Path:
        return self.directory / "connection"

    def start(self) -> None:
        command = [*INTERP, "serve", "--directory", str(self.directory), *self.arguments]
        self.directory.mkdir(exist_ok=True)
        with (self.directory / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **self.environment}
            )
        assert "serving" in self.process.stdout.readline(), (self.directory / "broker.log").read_text()

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(120)
        self.process.stdout.close()

    def worker(
        self, model: Path, *arguments: str, name: str = "tiny", before: Sequence[str] = ()
    ) -> "subprocess.Popen[bytes]":
        """`before` is a command that runs it elsewhere."""
        command = [
            *before,
            *INTERP,
            "worker",
            "--pool",
            str(self.directory / "worker"),
            "--model",
            f"{name}={model}",
            *arguments,
        ]
        with (self.directory / "worker.log").open("ab") as log:
            self.workers.append(subprocess.Popen([*command, "--threads", "1"], stderr=log))
        return self.workers[-1]

    def interp(self, *arguments: str, connection: Path | None = None) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "INTERP_POOL_URL": str(connection or self.connection)}
        return subprocess.run([*INTERP, *arguments], env=environment, capture_output=True, text=True, check=False)

    def token(self, name: str, *arguments: str) -> str:
        """The address of a new token."""
        made = self.interp("token", "--directory", str(self.directory), "make", name, *arguments)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def stop(self) -> None:
        ours = [psutil.Process(p.pid) for p in (self.process, *self.workers) if p is not None and p.poll() is None]
        below = [child for process in ours for child in descendants(process)]
        for process in ours:
            process.kill()
        for process in (self.process, *self.workers):
            if process is not None:
                process.wait(120)
        if self.process is not None and self.process.stdout:
            self.process.stdout.close()
        wait_for(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in below))


@contextmanager
def serving(directory: Path, *arguments: str, **environment: str) -> Iterator[Served]:
    served = Served(directory, list(arguments), environment)
    try:
        served.start()
        yield served
    finally:
        served.stop()
