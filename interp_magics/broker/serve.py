"""A pool as a process: the broker and the worker groups that it starts."""

import getpass
import logging
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import BinaryIO
from urllib.parse import urlsplit

import msgspec

from ..errors import RequestError, nearest
from ..launch import local
from ..launch.checks import check_ranks
from ..launch.config import GroupConfig, ModelSpec, WorkLimits
from ..wire.keys import Address, KeyPair, write_secret
from ..wire.standing import Limits
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
    groups: int = 1
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
        limits = self.server.settings.limits
        return GroupConfig(
            group=name,
            endpoint=self.server.worker_endpoint,
            server_key=self.server_keys.public.decode(),
            secret_key=worker.secret.decode(),
            model=spec,
            spool=str(self.server.settings.spool),
            limits=WorkLimits(limits.inline_bytes, limits.result_bytes),
            threads=self.threads or self._share_of_threads(),
        )

    def _share_of_threads(self) -> int:
        """The processor's cores among all ranks, one left to the kernel, the broker and whoever else is there: where a
        thread must wait for a core, every small product waits with it, and a pass takes many times as long."""
        ranks = self.groups_each * sum(spec.tp for spec in self.models)
        return max(1, (len(os.sched_getaffinity(0)) - 1) // ranks)


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
    settings = Settings(directory, tuple(m.name for m in config.models), limits=config.limits)
    try:
        server = Server(settings, Keys(keys, {config.client_public.encode(): user}))
        stdout.write(msgspec.json.encode(EmbeddedReady(server.client_endpoint)) + b"\n")
        stdout.flush()
        Pool(server, keys, directory, config.models, config.groups, config.threads, stdin).run()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True)
class Placed:
    """How each model is held: its dtype, the ranks of a group, the memory that it may take of each device."""

    dtype: str | None = None
    tp: int = 1
    max_memory: str | None = None


def shared(models: Sequence[str], adapters: Sequence[str], host: str, port: int, groups: int, placed: Placed) -> None:
    """Serve models to others until told to stop, and write the connection file that lets its reader in.

    `models` are `NAME=PATH` or paths, `adapters` `NAME=DIR` for some of them. Raises RequestError when there is no model, two
    have one name, or an adapter names none.
    """
    specs = _with_adapters([_spec(text, placed) for text in models], adapters)
    if not specs:
        raise RequestError("name at least one model: interp serve --model NAME=PATH")
    if len({spec.name for spec in specs}) < len(specs):
        raise RequestError("two models have the same name; write --model NAME=PATH")
    for spec in specs:
        check_ranks(spec)
    directory = _state_directory() / f"pool-{port}"
    keys, client = KeyPair.make(), KeyPair.make()
    settings = Settings(directory, tuple(s.name for s in specs), host=host, client_port=port)
    server = Server(settings, Keys(keys, {client.public: Key(_user_name(), CLIENT)}))
    address = Address(_reachable(server.client_endpoint), keys.public, client)
    write_secret(directory / "connection", f"{address}\n")
    print(
        f"serving {', '.join(s.name for s in specs)}; connect with\n  INTERP_POOL_URL={directory / 'connection'}",
        flush=True,
    )
    try:
        Pool(server, keys, directory, specs, groups_each=groups).run()
    finally:
        (directory / "connection").unlink(missing_ok=True)
        shutil.rmtree(directory / "spool", ignore_errors=True)


def _reachable(endpoint: str) -> str:
    """An endpoint as others call it: one that is bound to every address by the name of this host."""
    address = urlsplit(endpoint)
    everywhere = ip_address(address.hostname or "").is_unspecified
    return f"tcp://{socket.gethostname()}:{address.port}" if everywhere else endpoint


def _spec(text: str, placed: Placed) -> ModelSpec:
    name, has_name, path = text.partition("=")
    path = path if has_name else text
    local = Path(path).expanduser()
    source = str(local.resolve()) if local.is_dir() else path
    name = name if has_name else local.name
    return ModelSpec(name, source, dtype=placed.dtype, tp=placed.tp, max_memory=placed.max_memory)


def _with_adapters(specs: Sequence[ModelSpec], adapters: Sequence[str]) -> list[ModelSpec]:
    chosen = {name: str(Path(path).expanduser().resolve()) for name, _, path in (a.partition("=") for a in adapters)}
    names = [spec.name for spec in specs]
    for name in chosen:
        if name not in names:
            raise RequestError(f"--adapter names {name!r}, which is not served{nearest(name, names)}")
    return [msgspec.structs.replace(spec, adapter=chosen.get(spec.name)) for spec in specs]


def _state_directory() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    directory = Path(base) / "interp_magics"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
