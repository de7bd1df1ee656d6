"""The standing of a pool, as it is told: what it allows, its models, worker groups and jobs."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from ..program.cards import ModelCard
from .fields import Count

Priority = Literal["interactive", "batch"]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What this pool allows one user. A job predicted to take longer than `slice_seconds` is run in slices;
    no more than `running_rows` texts run at once, or one job. A worker that does not leave a cancelled job within
    `cancel_seconds`, or gives no sign for `stall_seconds` while it runs jobs, is started anew."""

    message_bytes: int = 64 << 20
    inline_bytes: int = 4 << 20
    result_bytes: int = 4 << 30
    store_bytes: int = 1 << 30
    queued_jobs: int = 10_000
    result_ttl: int = 3600
    slice_seconds: float = 2.0
    queued_bytes: int = 256 << 20
    running_rows: int = 4096
    cancel_seconds: float = 5.0
    stall_seconds: float = 300.0


JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class JobInfo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A job as those see it who may. While it waits, `ahead` and `wait` (seconds) are estimates: jobs before it, and how long.
    `submitted` is seconds ago; `done` of its `texts` are; `shared` names users, and groups as "@group"; `why` is what those engines
    of its model say that cannot run it."""

    job: str
    user: str
    model: str
    method: str
    state: JobState
    ahead: int = 0
    wait: float = 0.0
    attempt: int = 0
    worker: str = ""
    seconds: float = 0.0
    priority: Priority = "interactive"
    submitted: float = 0.0
    done: int = 0
    texts: int = 0
    shared: tuple[str, ...] = ()
    why: str = ""


class Device(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Memory of a device in bytes: what this worker's process holds of it, and all that it has."""

    name: Annotated[str, Meta(max_length=100)]
    used: Count
    total: Count


class GroupInfo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A worker group: "up", "loading", "down", "gone", "failed"; or up and "paused" or "restarting". `load` is the share of the
    last minute in which it ran jobs, `engine` what runs its model."""

    name: str
    model: str
    state: str
    running: int = 0
    load: float = 0.0
    devices: tuple[Device, ...] = ()
    engine: str = ""


#: Of files that hold texts: one a line, or objects with a field "text".
CORPUS_SUFFIXES = (".txt", ".jsonl")


class CorpusInfo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A corpus that lies with the pool."""

    name: str
    files: int
    nbytes: int


class Quota(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the asker has of what they may: jobs and parts of jobs that wait, rows that run, bytes of objects and results."""

    weight: float
    queued: tuple[int, int]
    rows: tuple[int, int]
    stored: tuple[int, int]
    results: tuple[int, int]


class ModelInfo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A model that the pool may serve: `card` once a worker has loaded it, `trouble` if none could."""

    name: str
    state: Literal["waiting", "loading", "serving", "paused", "failed"]
    workers: int = 0
    queued: int = 0
    card: ModelCard | None = None
    trouble: str = ""
