"""A pool as a process: the broker and the worker groups that it starts."""

import getpass
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import BinaryIO

import msgspec

from ..launch import local
from ..launch.config import GroupConfig, ModelSpec
from ..wire.keys import KeyPair
from ..wire.messages import Limits
from .admission import CLIENT, WORKER, Key
from .server import Keys, Server, Settings

log = logging.getLogger(__name__)


class EmbeddedConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a kernel tells its own pool on standard input: keys (z85), models, a private directory."""

    server_secret: str
    client_public: str
    models: tuple[ModelSpec, ...]
    directory: str
    threads: int | None = None
    limits: Limits = Limits()


class EmbeddedReady(msgspec.Struct, frozen=True):
    """What the pool answers on standard output once it is bound."""

    endpoint: str


@dataclass
class Pool:
    """A server and its groups; `run` returns when `stop` was asked for or standard input ended."""

    server: Server
    server_keys: KeyPair
    directory: Path
    models: Sequence[ModelSpec]
    groups_each: int = 1
    threads: int | None = None
    lifeline: BinaryIO | None = None
    _stopping: bool = False
    _groups: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            self._start_groups()
            wake = None if self.lifeline is None else self.lifeline.fileno()
            self.server.run(self._going, wake)
        finally:
            for process in self._groups:
                local.stop(process)
            self.server.close()

    def _going(self) -> bool:
        if self._stopping or self.lifeline is None:
            return not self._stopping
        return not _ended(self.lifeline)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _start_groups(self) -> None:
        worker = KeyPair.make()
        self.server.admission.admit(worker.public, Key("worker", WORKER))
        for spec in self.models:
            for number in range(self.groups_each):
                name = f"{spec.name}/{number}"
                with (self.directory / f"worker-{len(self._groups)}.log").open("ab") as log_file:
                    self._groups.append(local.start(self._config(name, spec, worker), log_file))

    def _config(self, name: str, spec: ModelSpec, worker: KeyPair) -> GroupConfig:
        return GroupConfig(
            group=name,
            endpoint=self.server.worker_endpoint,
            server_key=self.server_keys.public.decode(),
            secret_key=worker.secret.decode(),
            model=spec,
            spool=str(self.server.settings.spool),
            inline_bytes=self.server.settings.limits.inline_bytes,
            threads=self.threads,
        )


def _ended(stream: BinaryIO) -> bool:
    """Whether the other end of a non-blocking pipe is closed."""
    try:
        return os.read(stream.fileno(), 4096) == b""
    except BlockingIOError:
        return False


def embedded(stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Serve the kernel that started this process; end with it, and leave nothing behind."""
    config = msgspec.json.decode(stdin.readline(), type=EmbeddedConfig)
    os.set_blocking(stdin.fileno(), False)
    directory = Path(config.directory)
    keys = KeyPair.of(config.server_secret.encode())
    user = Key(_user_name(), CLIENT)
    settings = Settings(directory / "spool", tuple(m.name for m in config.models), limits=config.limits)
    try:
        server = Server(settings, Keys(keys, {config.client_public.encode(): user}))
        stdout.write(msgspec.json.encode(EmbeddedReady(server.client_endpoint)) + b"\n")
        stdout.flush()
        Pool(server, keys, directory, config.models, threads=config.threads, lifeline=stdin).run()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
