"""A pool of one's own: broker and worker as children of this process, on loopback, with keys made for it."""

import atexit
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import msgspec

from ..errors import PoolUnavailable
from ..launch.config import ModelSpec
from ..wire.keys import Address, KeyPair
from ..wire.standing import Limits
from .announced import announce

_START_SECONDS = 20.0


@dataclass
class EmbeddedPool:
    """A running child pool; it ends when its standard input does, so also when this process is killed."""

    address: Address
    models: tuple[str, ...]
    process: "subprocess.Popen[bytes]"
    directory: Path
    users: int = 1
    announcement: Path | None = None

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def trouble(self) -> str:
        """The end of the logs, for an error message."""
        logs = sorted(self.directory.glob("*.log"))
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()[-5:]]
        return "\n".join(lines)

    def leave(self) -> None:
        """One user less; the last one ends it."""
        self.users -= 1
        if self.users <= 0:
            self.stop()

    def stop(self) -> None:
        """End it and wait until all its processes are gone."""
        atexit.unregister(self.stop)
        if self.announcement:
            self.announcement.unlink(missing_ok=True)
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)


_shared: dict[bytes, EmbeddedPool] = {}


def share(model: ModelSpec, threads: int | None = None, groups: int = 1) -> EmbeddedPool:
    """The pool of this process for `model`: the one that runs already, with one user more, or a new one."""
    key = msgspec.json.encode([model, threads, groups])
    running = _shared.get(key)
    if running is not None and running.users > 0 and running.alive:
        running.users += 1
        return running
    _shared[key] = start([model], threads, groups)
    return _shared[key]


def start(
    models: Sequence[ModelSpec], threads: int | None = None, groups: int = 1, limits: Limits | None = None
) -> EmbeddedPool:
    """Start a pool that serves `models`, each by so many `groups` of workers. Raises PoolUnavailable with what to do."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise PoolUnavailable(
            "no pool was named, and this installation has no worker to start one: set INTERP_POOL_URL to your lab's pool, "
            "or install interp-magics[all]"
        )
    server, client = KeyPair.make(), KeyPair.make()
    directory = Path(tempfile.mkdtemp(prefix="interp-pool-"))
    process = _spawn(directory)
    config = {
        "server_secret": server.secret.decode(),
        "client_public": client.public.decode(),
        "models": [msgspec.to_builtins(model) for model in models],
        "directory": str(directory),
        "threads": threads,
        "groups": groups,
        "limits": msgspec.to_builtins(limits or Limits()),
    }
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(msgspec.json.encode(config) + b"\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        process.wait()
        errors = (directory / "broker.log").read_text(errors="replace")[-2000:] if directory.exists() else ""
        shutil.rmtree(directory, ignore_errors=True)
        raise PoolUnavailable(f"the embedded pool did not start; run `interp doctor`. It said:\n{errors}")
    endpoint = msgspec.json.decode(line)["endpoint"]
    address = Address(endpoint, server.public, client)
    names = tuple(model.name for model in models)
    pool = EmbeddedPool(address, names, process, directory, announcement=announce(address))
    atexit.register(pool.stop)
    return pool


def _spawn(directory: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "interp_magics", "serve", "--embedded"]
    with (directory / "broker.log").open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd="/", start_new_session=True
        )
