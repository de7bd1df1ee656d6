"""Every message between client, broker and worker: one tagged union for each direction, unknown fields forbidden.

Only `hello` and `welcome` may carry fields that this version does not know; they settle the minor version whose fields are
sent afterwards. Bounds that are open are absent; a number that may be infinite travels in a buffer.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from ..methods.requests import Request
from ..program.cards import ModelCard
from .fields import LONGEST_ID, BufferSpec, Count, Digest, JobId, Name, Sent
from .standing import CorpusInfo, Device, GroupInfo, JobInfo, Limits, ModelInfo, Priority, Quota

MAJOR, MINOR = 1, 0
#: What this version can do beyond the first; told in the handshake, so that what a side lacks can be named.
CAPABILITIES = ("share", "manage", "drop", "read", "older")

# Client to broker


class Hello(Struct, frozen=True, kw_only=True, tag="hello"):
    """The first word of a client: the versions it speaks."""

    major: int
    minor: int
    software: str = ""
    buffers: tuple[BufferSpec, ...] = ()


class Put(Sent, frozen=True, tag="put"):
    """Store the object in the one buffer under the sha256 of its bytes."""

    digest: Digest
    ttl: Count = 3600


class Drop(Sent, frozen=True, tag="drop"):
    """Keep an object no longer, unless a job that has not ended needs it."""

    digest: Digest


class Stat(Sent, frozen=True, tag="stat"):
    """Ask for the state of the pool: models and cards, queue, my newest jobs, and `job` however old it is ("older")."""

    number: Count = 0
    job: Annotated[str, Meta(max_length=LONGEST_ID)] = ""


class Read(Sent, frozen=True, tag="read"):
    """Ask for what a corpus of the pool holds from byte `offset` of its file number `file` on."""

    number: Annotated[int, Meta(ge=1, le=2**53)]
    corpus: Name
    file: Count = 0
    offset: Count = 0


class Submit(Sent, frozen=True, tag="submit"):
    """Queue a job. Its id is the client's; the same id again is the same job."""

    job: JobId
    model: Name
    request: Request
    objects: tuple[Digest, ...] = ()
    priority: Priority = "interactive"


class CancelJob(Sent, frozen=True, tag="cancel"):
    """End a job."""

    job: JobId


class Fetch(Sent, frozen=True, tag="fetch"):
    """Send the result of a finished job, from `offset` on; or with `local` a ticket for its file, if that can be. `part`
    numbers the parts of a job that was run in slices."""

    job: JobId
    part: Count = 0
    offset: Count = 0
    local: bool = False


class Follow(Sent, frozen=True, tag="follow"):
    """Send events of a job, and its end, to this connection."""

    job: JobId


class Release(Sent, frozen=True, tag="release"):
    """Forget the result of a job."""

    job: JobId


class Credit(Sent, frozen=True, tag="credit"):
    """Allow `chunks` more chunks of a result that is being fetched."""

    job: JobId
    chunks: Annotated[int, Meta(ge=1, le=64)]
    part: Count = 0


class Share(Sent, frozen=True, tag="share"):
    """Let other users, and the members of groups, see a job and fetch its result. The answer carries the same `number`."""

    number: Annotated[int, Meta(ge=1, le=2**53)]
    job: JobId
    users: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()
    groups: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()


Action = Literal["drain", "pause", "resume", "restart", "kick", "expel"]


class Manage(Sent, frozen=True, tag="manage"):
    """Manage the pool (admin only): take no new jobs (drain), hand none out (pause; also of one worker group), end both
    (resume); start a group anew when what it runs is done (restart) or now (kick); end all jobs of a user (expel)."""

    number: Annotated[int, Meta(ge=1, le=2**53)]
    action: Action
    target: Annotated[str, Meta(max_length=200)] = ""


FromClient = Hello | Put | Drop | Stat | Read | Submit | CancelJob | Fetch | Follow | Release | Credit | Share | Manage


# Broker to client


class Welcome(Struct, frozen=True, kw_only=True, tag="welcome"):
    """The answer to `hello`: the versions that hold from now on, who the pool says you are, what it allows and can do.

    `door` is the path of a Unix socket that gives files of results to processes on the pool's host, `bulk` the port of the
    endpoint for results in chunks.
    """

    major: int
    minor: int
    epoch: str
    user: str
    limits: Limits
    door: str = ""
    bulk: int = 0
    groups: tuple[str, ...] = ()
    admin: bool = False
    capabilities: tuple[str, ...] = ()
    buffers: tuple[BufferSpec, ...] = ()


class Accepted(Sent, frozen=True, tag="accepted"):
    """The job is queued, `ahead` jobs before it (an estimate); or the object is stored; or what came with `number` is done."""

    job: str = ""
    number: Count = 0
    digest: str = ""
    ahead: int = 0


class PoolState(Sent, frozen=True, tag="state"):
    """The state of the pool; `jobs` are those that the asker may see. A new `epoch` is a broker that was started again: it has
    the jobs, but not who follows them."""

    number: Count
    epoch: str
    models: tuple[ModelInfo, ...]
    jobs: tuple[JobInfo, ...]
    running: int = 0
    queued: int = 0
    uptime: float = 0.0
    groups: tuple[GroupInfo, ...] = ()
    quota: Quota | None = None
    draining: bool = False
    paused: bool = False
    corpora: tuple[CorpusInfo, ...] = ()


class Event(Sent, frozen=True, tag="event"):
    """Progress of a job. A new `attempt` begins with part "restart", and what came before it is void.

    `done` and `total` count the tokens of `row` ("generated"), or the texts of a job that is run in slices ("progress");
    "lens" brings the positions of a row that were decoded since the last time, as a result in the one buffer.
    """

    job: JobId
    attempt: Count
    seq: Count
    part: Literal["queued", "loading", "started", "restart", "progress", "generated", "lens"]
    ahead: int = 0
    done: float = 0.0
    total: float = 0.0
    row: int = 0
    text: str = ""
    worker: str = ""


class Chunk(Sent, frozen=True, tag="chunk"):
    """A piece of a result or an object, in one uint8 buffer; `size` is the whole."""

    job: str = ""
    part: Count = 0
    digest: str = ""
    offset: Count = 0
    size: Count = 0


class Extract(Sent, frozen=True, tag="extract"):
    """Bytes of a corpus in one uint8 buffer, of the file `name`, which has `size` of them; there are `files`."""

    number: Count
    name: str
    size: Count
    files: Count


class Ticket(Sent, frozen=True, tag="ticket"):
    """What to say at the pool's door for the file of a result of `size` bytes."""

    job: JobId
    size: Count
    secret: str
    part: Count = 0


class Done(Sent, frozen=True, tag="done"):
    """The job ended well: its result is the one buffer (safetensors), or `size` bytes to fetch, in `parts` if it was run in
    slices."""

    job: JobId
    attempt: Count
    size: Count = 0
    parts: Count = 1
    spooled: str = ""
    seconds: float = 0.0
    worker: str = ""


class Failure(Sent, frozen=True, tag="error"):
    """What went wrong. `missing` names objects to put before the job is submitted again."""

    code: str
    message: str
    job: str = ""
    digest: str = ""
    worker: str = ""
    missing: tuple[str, ...] = ()
    number: Count = 0


ToClient = Welcome | Accepted | PoolState | Event | Chunk | Extract | Ticket | Done | Failure


# Worker group to broker


class Attempt(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One try of a job."""

    job: JobId
    number: Count


class Ready(Sent, frozen=True, tag="ready"):
    """A worker process of group `group` serves its model and has these attempts; a new `epoch` means that what it ran before
    is lost. Said again and again, so that a broker that was restarted finds it, and nothing that was lost on the way stays
    so."""

    group: Name
    epoch: JobId
    card: ModelCard
    slots: Annotated[int, Meta(ge=1, le=256)] = 16
    has: Annotated[tuple[Attempt, ...], Meta(max_length=1024)] = ()
    devices: Annotated[tuple[Device, ...], Meta(max_length=64)] = ()
    figures: Annotated[dict[Name, float], Meta(max_length=16)] = field(default_factory=dict)


class Beat(Sent, frozen=True, tag="beat"):
    """The nanny of a group lives; `state` is that of its worker process: "leaving" when it is to end after what it runs,
    "failed" when it will not be tried again; `awaited` is what keeps it from beginning; `blameless`: it is down for want of a host, not
    by what it ran."""

    group: Name
    model: Name
    state: Literal["alive", "leaving", "down", "failed"]
    trouble: str = ""
    awaited: str = ""
    blameless: bool = False
    pid: int = 0


class Started(Sent, frozen=True, tag="started"):
    """These are in one batch now."""

    jobs: tuple[Attempt, ...]


class Failed(Sent, frozen=True, tag="failed"):
    """An attempt ended badly; `code` is a stable word."""

    job: JobId
    attempt: Count
    code: str
    message: str


class Get(Sent, frozen=True, tag="get"):
    """Send a stored object that an assigned job of `user` names."""

    digest: Digest
    job: JobId


FromWorker = Ready | Beat | Started | Event | Done | Failed | Get


# Broker to worker group


class Assign(Sent, frozen=True, tag="assign"):
    """Run a job of `owner`. `spool` is the path, under the spool's root, that a large result is written to."""

    job: JobId
    attempt: Count
    request: Request
    owner: str
    spool: str


class Stop(Sent, frozen=True, tag="stop"):
    """Leave an attempt of a job."""

    job: JobId
    attempt: Count


class Drain(Sent, frozen=True, tag="drain"):
    """Finish what runs, then end."""


ToWorker = Assign | Stop | Chunk | Drain | Failure


class Restart(Sent, frozen=True, tag="restart"):
    """To a nanny: kill the processes of the group, and start them anew."""


ToNanny = Restart
