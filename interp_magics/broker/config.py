"""How an administrator sets up a pool: a TOML file, or what the command line says."""

from pathlib import Path

import msgspec
from msgspec import structs

from ..errors import RequestError, nearest
from ..launch.config import ModelSpec
from ..wire.standing import Limits
from .rules import Rule


class ModelConfig(ModelSpec, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model that the pool may serve. `groups` of workers are started with the pool; or with `on_demand` one when a job asks
    for it, which makes room when another model's jobs wait. None at all leaves it to workers that are started elsewhere."""

    path: str = ""
    groups: int = 1
    on_demand: bool = False

    def spec(self) -> ModelSpec:
        """What a worker group loads."""
        return ModelSpec(**{name: getattr(self, name) for name in ModelSpec.__struct_fields__})


class PoolConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pool. It listens at `host`, and others reach it under `name` (this host's own by default). Clients come to `port`,
    workers to the one after it, results in chunks are had at the next; 0 lets the system choose all three. `http` ("host:port")
    answers /metrics and /healthz. `corpora` are files of texts, or directories of such, that users may read by these names;
    `scrubbers` name functions by which workers clean texts before anything is made of them that is kept. `groups` change the limits
    of their members; `users` names the groups of users whom no hub vouches for. No more than `most_loaded` groups of models on
    demand are there at once. After SIGTERM what runs has `drain_seconds`."""

    models: tuple[ModelConfig, ...] = ()
    directory: str = ""
    host: str = "127.0.0.1"
    name: str = ""
    port: int = 7717
    http: str = ""
    threads: int | None = None
    most_loaded: int = 1
    drain_seconds: float = 30.0
    audit: bool = True
    audit_texts: bool = False
    json_logs: bool = False
    limits: Limits = Limits()
    corpora: dict[str, str] = {}
    scrubbers: tuple[str, ...] = ()
    groups: dict[str, Rule] = {}
    users: dict[str, tuple[str, ...]] = {}

    def ports(self) -> tuple[int, int, int]:
        """Of clients, workers and results."""
        return (self.port, self.port + 1, self.port + 2) if self.port else (0, 0, 0)


def read(path: Path) -> PoolConfig:
    """Raises RequestError that says what is wrong in the file, and where."""
    try:
        read = msgspec.toml.decode(path.read_bytes(), type=PoolConfig)
    except OSError as error:
        raise RequestError(f"the pool's file {path} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise RequestError(f"the pool's file {path}: {error}") from None
    unknown = {name for names in read.users.values() for name in names} - read.groups.keys()
    if unknown:
        name = min(unknown)
        raise RequestError(
            f"the pool's file {path}: [users] names the group {name!r}, which is not declared{nearest(name, read.groups)}; "
            f"[groups.{name}] may be empty"
        )
    return structs.replace(read, models=tuple(_beside(model, path.parent) for model in read.models))


def _beside(model: ModelConfig, directory: Path) -> ModelConfig:
    """A relative path is one from where the file is."""
    there = directory / Path(model.path).expanduser()
    return structs.replace(model, path=str(there.resolve())) if model.path and there.is_dir() else model


def checked(config: PoolConfig) -> PoolConfig:
    """The same. Raises RequestError when it cannot be served."""
    names = [model.name for model in config.models]
    if not names:
        raise RequestError("name at least one model: interp serve --model NAME=PATH, or [[models]] in the pool's file")
    if len(set(names)) < len(names):
        raise RequestError("two models have the same name; write --model NAME=PATH")
    for model in config.models:
        if not model.path and (model.groups or model.on_demand):
            raise RequestError(
                f"model {model.name!r} has no path, and workers to be started; say groups = 0, or where it is"
            )
        if model.path and (model.groups or model.on_demand):
            _check_path(model)
    return config


def _check_path(model: ModelConfig) -> None:
    """A path that begins like one, or that looks like a directory of this machine, must be one."""
    path = Path(model.path).expanduser()
    if not path.is_dir() and (model.path.startswith(("/", "./", "../", "~")) or model.path.count("/") > 1):
        raise RequestError(f"model {model.name!r}: {model.path} is no directory here")
