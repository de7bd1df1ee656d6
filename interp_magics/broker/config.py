"""How an administrator sets up a pool: a TOML file, or what the command line says."""

from pathlib import Path

import msgspec

from ..errors import RequestError
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
    """A pool. Clients come to `port`, workers to the one after it, results in chunks are had at the next; 0 lets the system
    choose all three. `http` ("host:port") answers /metrics and /healthz. `groups` change the limits of their members;
    `users` names the groups of users whom no hub vouches for. No more than `most_loaded` groups of models on demand are
    there at once. After SIGTERM what runs has `drain_seconds`."""

    models: tuple[ModelConfig, ...] = ()
    directory: str = ""
    host: str = "127.0.0.1"
    port: int = 7717
    http: str = ""
    threads: int | None = None
    most_loaded: int = 1
    drain_seconds: float = 30.0
    audit: bool = True
    audit_texts: bool = False
    json_logs: bool = False
    limits: Limits = Limits()
    groups: dict[str, Rule] = {}
    users: dict[str, tuple[str, ...]] = {}

    def ports(self) -> tuple[int, int, int]:
        """Of clients, workers and results."""
        return (self.port, self.port + 1, self.port + 2) if self.port else (0, 0, 0)


def read(path: Path) -> PoolConfig:
    """Raises RequestError that says what is wrong in the file, and where."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=PoolConfig)
    except OSError as error:
        raise RequestError(f"the pool's file {path} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise RequestError(f"the pool's file {path}: {error}") from None


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
    return config
