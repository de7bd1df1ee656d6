"""A pool as a process: the broker and the worker groups that it starts."""

import getpass
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import BinaryIO
from urllib.parse import urlsplit

import msgspec

from ..errors import InterpError, RequestError, nearest
from ..launch.checks import check_model
from ..launch.config import Engine, ModelImpl, ModelSpec, WorkerFile
from ..wire.keys import Address, KeyPair, write_secret
from ..wire.standing import Limits
from .admission import CLIENT, WORKER, Key
from .config import ModelConfig, PoolConfig, checked
from .hub import Gate, hubs_word
from .managed import Managed
from .server import Keys, Server, Settings
from .tokens import Token, Tokens
from .web import Web

log = logging.getLogger(__name__)

_HEALTHY_SECONDS = 5.0


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


class PoolKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The secret keys (z85) of a pool that is to be found again under the same ones: its own, its operator's, its workers'."""

    server: str
    operator: str
    worker: str

    @classmethod
    def of(cls, path: Path) -> "PoolKeys":
        """Those in the file, which is made when it is not there."""
        if path.is_file():
            return msgspec.json.decode(path.read_bytes(), type=cls)
        made = cls(*(KeyPair.make().secret.decode() for _ in range(3)))
        write_secret(path, msgspec.json.encode(made).decode())
        return made


def embedded(stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Serve the kernel that started this process; end with it, and leave nothing behind."""
    config = msgspec.json.decode(stdin.readline(), type=EmbeddedConfig)
    os.set_blocking(stdin.fileno(), False)
    directory = Path(config.directory)
    keys, worker = KeyPair.of(config.server_secret.encode()), KeyPair.make()
    admitted = {
        config.client_public.encode(): Key(_user_name(), CLIENT, admin=True),
        worker.public: Key("worker", WORKER),
    }
    settings = Settings(directory, tuple(m.name for m in config.models), limits=config.limits)
    models = [ModelConfig(**msgspec.structs.asdict(spec), groups=config.groups) for spec in config.models]
    stop = _Stop()
    try:
        server = Server(settings, Keys(keys, admitted))
        stdout.write(msgspec.json.encode(EmbeddedReady(server.client_endpoint)) + b"\n")
        stdout.flush()
        managed = Managed(server, keys, worker, directory, models, config.threads)
        _run(server, managed, lambda: not stop.asked and not _ended(stdin), stdin.fileno())
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(server: Server, managed: Managed, going: Callable[[], bool], wake: int | None = None) -> None:
    """Serve as long as `going`; then end the groups."""

    def go_on() -> bool:
        managed.look()
        return going()

    try:
        managed.start()
        server.run(go_on, wake)
    finally:
        managed.stop()
        server.close()


@dataclass
class _Stop:
    """Whether a signal has asked this process to end; what runs has `patience` seconds then."""

    patience: float = 0.0
    asked: int = 0
    _until: float | None = None

    def __post_init__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def goes_on(self, server: Server) -> bool:
        """After the first signal what runs may end; after the second nothing is waited for."""
        if not self.asked:
            return True
        if self._until is None:
            print(
                "draining: what runs may end, nothing new is taken; once more ends it now", file=sys.stderr, flush=True
            )
            server.standing.draining = server.book.paused = True
            self._until = time.monotonic() + self.patience
        return self.asked < 2 and server.book.running > 0 and time.monotonic() < self._until

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1


@dataclass(frozen=True)
class Placed:
    """How each model is held: its dtype, the ranks of a group, the memory that it may take of each device, what runs it, and for vLLM
    how many tokens a row may have, its stages, whether its steps are compiled, whose modules they are of, and slots for steering."""

    dtype: str | None = None
    tp: int = 1
    max_memory: str | None = None
    engine: Engine = "transformers"
    context: int | None = None
    pp: int = 1
    compiled: bool = False
    model_impl: ModelImpl = "auto"
    steering_slots: int = 0


def models_of(models: Sequence[str], adapters: Sequence[str], groups: int, placed: Placed) -> tuple[ModelConfig, ...]:
    """Models as the command line names them: `NAME=PATH` or paths, `adapters` `NAME=DIR` for some of them. Raises RequestError
    when an adapter names none."""
    specs = _with_adapters([_spec(text, placed) for text in models], adapters)
    return tuple(ModelConfig(**msgspec.structs.asdict(spec), groups=groups) for spec in specs)


def shared(given: PoolConfig, hub: bool = False) -> None:
    """Serve models to others until told to stop. What was accepted stays in the pool's directory, and is gone on with when it
    is served from there again.

    Raises RequestError when there is no model, two have one name, or the ranks do not fit; PoolUnavailable when the directory
    or a port is another's.
    """
    config = checked(given)
    for model in config.models:
        check_model(model.spec())
    directory = Path(config.directory).expanduser() if config.directory else state_directory() / f"pool-{config.port}"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    secrets = PoolKeys.of(directory / "keys")
    pairs = {name: KeyPair.of(secret.encode()) for name, secret in msgspec.structs.asdict(secrets).items()}
    tokens = Tokens(directory / "tokens.json")
    operator = Key(_user_name(), CLIENT, frozenset(config.users.get(_user_name(), ())), admin=True)
    admitted = {pairs["operator"].public: operator, pairs["worker"].public: Key("worker", WORKER)}
    server = Server(_settings(config, directory), Keys(pairs["server"], admitted))
    managed = Managed(
        server,
        pairs["server"],
        pairs["worker"],
        directory,
        config.models,
        config.threads,
        config.most_loaded,
        config.scrubbers,
    )
    stop, endpoint = _Stop(config.drain_seconds), _reachable(server.client_endpoint, config.name)
    try:
        web = _web(config, server, endpoint, pairs["server"], hub)
    except InterpError:
        server.close()
        raise
    files = _write_files(directory, server, endpoint, pairs, config)
    names = ", ".join(model.name for model in config.models)
    print(f"serving {names}; connect with\n  INTERP_POOL_URL={directory / 'connection'}", flush=True)
    admissions = _Admissions(server, tokens, config.users)
    server.admission.look_again = admissions.look

    def going() -> bool:
        admissions.look()
        return stop.goes_on(server)

    try:
        _run(server, managed, going)
    finally:
        for file in files:
            file.unlink(missing_ok=True)
        if web:
            web.close()


def _settings(config: PoolConfig, directory: Path) -> Settings:
    client, worker, bulk = config.ports()
    return Settings(
        directory,
        tuple(model.name for model in config.models),
        host=config.host,
        client_port=client,
        worker_port=worker,
        bulk_port=bulk,
        limits=config.limits,
        rules=config.groups,
        audit=directory / "audit.jsonl" if config.audit else None,
        audit_texts=config.audit_texts,
        corpora=config.corpora,
        scrubbers=config.scrubbers,
    )


def _write_files(
    directory: Path, server: Server, endpoint: str, pairs: dict[str, KeyPair], config: PoolConfig
) -> list[Path]:
    """The operator's connection file, and what workers elsewhere need; both secrets, gone when the pool ends."""
    connection, worker = directory / "connection", directory / "worker"
    write_secret(connection, f"{Address(endpoint, pairs['server'].public, pairs['operator'])}\n")
    keys = pairs["server"].public.decode(), pairs["worker"].secret.decode()
    spool = str(server.settings.spool.resolve())
    told = WorkerFile(_reachable(server.worker_endpoint, config.name), *keys, spool, config.scrubbers)
    write_secret(worker, msgspec.json.encode(told).decode() + "\n")
    return [connection, worker]


def _web(config: PoolConfig, server: Server, endpoint: str, keys: KeyPair, hub: bool) -> Web | None:
    """What answers over HTTP, if anything is to: at the address that a hub gives to its service, or at the pool's own."""
    if not hub and not config.http:
        return None
    if config.http:
        server.metrics.serve()
    address = urlsplit(os.environ.get("JUPYTERHUB_SERVICE_URL", "")) if hub else urlsplit(f"//{config.http}")
    if not address.hostname or not address.port:
        raise RequestError(
            "interp serve --hub runs as a service of a JupyterHub, with a url; see the README"
            if hub
            else f"http = {config.http!r}: write host:port"
        )
    gate = Gate(server.admission, endpoint, keys.public, hubs_word()) if hub else None
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/") if hub else "/"
    return Web(address.hostname, address.port, server.metrics, lambda: _healthy(server), prefix, gate)


def _healthy(server: Server) -> bool:
    return time.monotonic() - server.turned < _HEALTHY_SECONDS and not server.standing.trouble


@dataclass
class _Admissions:
    """Keeps the keys that are let in as the file of tokens has them."""

    server: Server
    tokens: Tokens
    users: dict[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        self._known: dict[bytes, Token] = {}

    def look(self) -> None:
        """Read the file if it has changed."""
        if not self.tokens.changed():
            return
        try:
            named = {token.public.encode(): token for token in self.tokens.all()}
        except RequestError as error:
            log.error("%s", error)
            return
        for public in self._known.keys() - named.keys():
            self.server.admission.revoke(public)
        for public, token in named.items():
            groups = (*token.groups, *self.users.get(token.user, ()))
            self.server.admission.admit(public, msgspec.structs.replace(token, groups=groups).key())
            self.server.rules.know(token.user, groups)
        self._known = named


def _ended(stream: BinaryIO) -> bool:
    """Whether the other end of a non-blocking pipe is closed."""
    try:
        return os.read(stream.fileno(), 4096) == b""
    except BlockingIOError:
        return False


def _reachable(endpoint: str, name: str) -> str:
    """An endpoint as others call it: by `name`, or one that is bound to every address by the full name of this host."""
    address = urlsplit(endpoint)
    everywhere = ip_address(address.hostname or "").is_unspecified
    return f"tcp://{name or socket.getfqdn()}:{address.port}" if everywhere or name else endpoint


def _spec(text: str, placed: Placed) -> ModelSpec:
    name, has_name, path = text.partition("=")
    path = path if has_name else text
    local = Path(path).expanduser()
    source = str(local.resolve()) if local.is_dir() else path
    name = name if has_name else local.name
    return ModelSpec(name, source, **asdict(placed))


def _with_adapters(specs: Sequence[ModelSpec], adapters: Sequence[str]) -> list[ModelSpec]:
    chosen = {name: str(Path(path).expanduser().resolve()) for name, _, path in (a.partition("=") for a in adapters)}
    names = [spec.name for spec in specs]
    for name in chosen:
        if name not in names:
            raise RequestError(f"--adapter names {name!r}, which is not served{nearest(name, names)}")
    return [msgspec.structs.replace(spec, adapter=chosen.get(spec.name)) for spec in specs]


def state_directory() -> Path:
    """Where this user's pools keep what they know, each in a directory of its own."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    directory = Path(base) / "interp_magics"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
