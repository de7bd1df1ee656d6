"""What a worker group is told when it starts: one JSON line on its standard input, never on a command line."""

from pathlib import Path
from typing import Literal

import msgspec

from ..errors import RequestError

Engine = Literal["transformers", "vllm"]
ModelImpl = Literal["auto", "vllm", "transformers"]


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of a pool's allow-list: its name there, and where it is loaded from: a local directory or a hub id.

    `dtype` None keeps the checkpoint's own; `adapter` is a LoRA directory that an administrator registered; `device` None
    is the GPU if there is one; `tp` ranks share every layer of a replica, and `pp` such stages (vLLM alone) its layers.
    `max_memory` ("0=20GB,cpu=60GB") lays a model that no device holds over several of them. `engine` is what runs it; for vLLM
    `context` (None: the model's own) is how many tokens a row may have and `kv_bytes` (None: what is free) what its pages
    take; `compiled` steps are faster, at fewer sites, and with `steering_slots` that many sets of additions to the stream are part of
    the compiled model; `model_impl` is whose modules it runs, its own where their sites are known
    ("auto") or transformers'. A hub token is read from HF_TOKEN, as transformers does.
    """

    name: str
    path: str
    revision: str | None = None
    dtype: str | None = None
    adapter: str | None = None
    device: str | None = None
    tp: int = 1
    pp: int = 1
    max_memory: str | None = None
    engine: Engine = "transformers"
    context: int | None = None
    kv_bytes: int | None = None
    compiled: bool = False
    model_impl: ModelImpl = "auto"
    steering_slots: int = 0

    @property
    def ranks(self) -> int:
        """Processes of a replica."""
        return self.tp * self.pp


class WorkLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes of a result that travels at once, of any result, of activations that one job may hold while it runs, of rows that
    one user, and all of them, may keep for follow-ups, and of trainings between their slices."""

    inline_bytes: int = 4 << 20
    result_bytes: int = 4 << 30
    held_bytes: int = 8 << 30
    kept_bytes: int = 1 << 30
    all_kept_bytes: int = 4 << 30
    trained_bytes: int = 8 << 30


class Nodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The hosts over which a group is spread, of which this is number `node_rank`; they meet at an address of the first, on the
    interface on which their ranks speak. The names are torchrun's and vLLM's."""

    nnodes: int = 1
    node_rank: int = 0
    master_addr: str = ""
    master_port: int = 29500


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process among those of its group: `local_rank` on its host, which is number `node_rank`. They meet by a file in a private
    directory, or at HOST:PORT of rank 0, which is given the socket that listens there (`listener`); what they say to each other
    goes over `interface`, where the host has `address`."""

    rank: int = 0
    local_rank: int = 0
    node_rank: int = 0
    rendezvous: str = ""
    listener: int | None = None
    interface: str = "lo"
    address: str = "127.0.0.1"


class GroupConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A worker group: the broker's worker endpoint and key (z85), the group's secret key, its model, the spool.

    Each of its processes is given its `place` by the nanny.
    """

    group: str
    endpoint: str
    server_key: str
    secret_key: str
    model: ModelSpec
    spool: str
    limits: WorkLimits = WorkLimits()
    threads: int | None = None
    scrubbers: tuple[str, ...] = ()
    nodes: Nodes = Nodes()
    place: Place = Place()


class WorkerFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker that is started apart from its pool must know: endpoint, keys (z85), the pool's spool, which must be on a file
    system that both see, and the scrubbers that it must have."""

    endpoint: str
    server_key: str
    secret_key: str
    spool: str
    scrubbers: tuple[str, ...] = ()


def read_worker_file(path: Path) -> WorkerFile:
    """Raises RequestError when it is not there, or is something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=WorkerFile)
    except OSError as error:
        raise RequestError(
            f"{path} cannot be read ({error.strerror}); the file `worker` is in the pool's directory while that runs"
        ) from None
    except msgspec.MsgspecError as error:
        raise RequestError(f"{path} is not a pool's file for workers: {error}") from None


def encode(config: GroupConfig) -> bytes:
    """One line of JSON."""
    return msgspec.json.encode(config) + b"\n"


def decode(line: bytes) -> GroupConfig:
    """What `encode` wrote. Raises msgspec.ValidationError for anything else."""
    return msgspec.json.decode(line, type=GroupConfig)
