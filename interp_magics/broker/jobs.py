"""What the book holds: jobs, the groups that run them, places in the queue."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp

from ..methods.requests import Request
from ..program.cards import ModelCard
from ..wire.messages import Failure
from ..wire.standing import Device, JobState
from .outbox import Route
from .schedule import JobKey, Waiting

MOST_FOLLOWERS = 16


@dataclass
class Job:
    """One job. `suspect` ones run alone; `started` says whether its group has it in a batch; `near` is the epoch of the
    worker that holds rows for it.

    A job that is run in slices has `parts`, jobs in their own right that only the pool sees, and never runs itself; the
    first `fed` of them have been put to the schedule (of a part: 1 when it has been). `cost` is its work in seconds of a
    group, `predicted` or a guess, `work` what it has had in this attempt, `spent` in all, `view` what the schedule knows of
    it; `handed` is when its group was given it, `left` when that was told to leave it. `shared` names who else may see it,
    `groups` those of its user; `size` is its share of the request in bytes; `astray` counts attempts that got lost on the way;
    `why` is what engines say that cannot run it.
    """

    key: JobKey
    model: str
    request: Request | None
    method: str
    priority: str
    objects: tuple[str, ...]
    number: int
    submitted: float
    near: str = ""
    state: JobState = "queued"
    attempt: int = 0
    strikes: int = 0
    suspect: bool = False
    started: bool = False
    cancelling: bool = False
    group: str = ""
    ended: float = 0.0
    seconds: float = 0.0
    failure: Failure | None = None
    followers: dict[Route, None] = field(default_factory=dict)
    texts: int = 0
    parent: JobKey | None = None
    parts: tuple[JobKey, ...] = ()
    fed: int = 0
    cost: float = 1.0
    predicted: bool = False
    work: float = 0.0
    view: Waiting | None = None
    handed: float = 0.0
    left: float = 0.0
    spent: float = 0.0
    shared: set[str] = field(default_factory=set)
    groups: tuple[str, ...] = ()
    size: int = 0
    astray: int = 0
    why: str = ""

    def follow(self, route: Route) -> None:
        """A connection wants to hear of it; the one that has done so the longest makes room."""
        self.followers[route] = None
        while len(self.followers) > MOST_FOLLOWERS:
            del self.followers[next(iter(self.followers))]

    @property
    def ended_state(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


@dataclass
class Busy:
    """The share of about the last minute in which a group ran jobs: a mean that forgets."""

    level: float = 0.0
    at: float = 0.0

    def note(self, runs: bool, now: float) -> None:
        """Whether it has run since it was last noted."""
        self.level, self.at = self._mean(runs, now), now

    def share(self, now: float, runs: bool) -> float:
        return self._mean(runs, now)

    def _mean(self, runs: bool, now: float) -> float:
        old = exp(-max(0.0, now - self.at) / 60)
        return self.level * old + runs * (1 - old)


@dataclass
class Group:
    """A worker group: the process that runs (its routing id and epoch) and the nanny that watches it. One that is `recalled`
    was known to the broker before this one, and has not spoken since. `heard` is when its nanny spoke, `word` when the process
    did. An administrator may have it `paused`, or started anew: `restarting` when what it runs is done, `kicked` at once (`told` is when
    its nanny was); or it is `leaving` by itself, or `yielding` its place to another model."""

    name: str
    model: str
    route: bytes = b""
    epoch: str = ""
    slots: int = 0
    state: str = "loading"
    trouble: str = ""
    #: What it waits for before it can load its model.
    awaited: str = ""
    #: Why what it runs is given nothing.
    unfit: str = ""
    card: ModelCard | None = None
    heard: float = 0.0
    running: set[JobKey] = field(default_factory=set)
    metered: float = 0.0
    recalled: bool = False
    paused: bool = False
    restarting: bool = False
    kicked: bool = False
    yielding: bool = False
    leaving: bool = False
    nanny: bytes = b""
    told: float = 0.0
    word: float = 0.0
    busy: Busy = field(default_factory=Busy)
    devices: tuple[Device, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def engine(self) -> str:
        """What runs its model, once that is known."""
        return self.card.engine if self.card else ""

    @property
    def held_back(self) -> bool:
        """Whether it is given nothing, though it could run."""
        return self.paused or self.restarting or self.kicked or self.leaving or self.yielding

    @property
    def blameless(self) -> bool:
        """Whether its process ends for a reason that no job is to blame for."""
        return self.kicked or self.leaving or self.recalled


@dataclass
class Changes:
    """What has changed since it was last written down, by the numbers of jobs; and which whole jobs have ended."""

    fresh: dict[int, Job] = field(default_factory=dict)
    changed: dict[int, Job] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    ended: list[Job] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Estimates: how many jobs would be handed out before one that waits, and in how many seconds it would be."""

    ahead: int
    wait: float
