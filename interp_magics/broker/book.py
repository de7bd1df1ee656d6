"""The book of jobs and groups: every change of state, with time and sockets left outside.

A job is (user, id). Each attempt has a number, and what an old attempt sends is not believed. When a group dies, every job of
its batch is suspect and is run again alone; only a job that was alone when its group died gains a strike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..methods.plans import kept, method, texts
from ..methods.requests import Request
from ..program.cards import ModelCard
from ..wire.messages import Failure, JobInfo, JobState
from .outbox import Route
from .schedule import Free, JobKey, Waiting, assign, order

STRIKES = 3
#: How many parts of one job run at once, for each group that holds its model: one that runs and one that waits there.
PARTS_AT_ONCE = 2


@dataclass
class Job:
    """One job. `suspect` ones run alone; `started` says whether its group has it in a batch; `near` is the epoch of the
    worker that holds rows for it.

    A job that is run in slices has `parts`, jobs in their own right that only the pool sees, and never runs itself.
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
    followers: set[Route] = field(default_factory=set)
    texts: int = 0
    parent: JobKey | None = None
    parts: tuple[JobKey, ...] = ()

    @property
    def ended_state(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


@dataclass
class Group:
    """A worker group: the process that runs (its routing id and epoch) and the nanny that watches it."""

    name: str
    model: str
    route: bytes = b""
    epoch: str = ""
    slots: int = 0
    state: str = "loading"
    trouble: str = ""
    card: ModelCard | None = None
    heard: float = 0.0
    running: set[JobKey] = field(default_factory=set)


class Book:
    """Jobs and groups of a pool."""

    def __init__(self) -> None:
        self.jobs: dict[JobKey, Job] = {}
        self.groups: dict[str, Group] = {}
        self._waiting: dict[JobKey, Job] = {}
        self._numbers = 0
        self._last_user = ""

    def submit(
        self,
        key: JobKey,
        model: str,
        slices: Sequence[Request],
        priority: str,
        objects: tuple[str, ...],
        now: float,
    ) -> Job:
        """A new job at the end of its user's queue; of several `slices` each is a part of it."""
        if len(slices) == 1:
            job = self._new(key, model, slices[0], priority, objects, now)
            self._waiting[key] = job
            return job
        whole = self._new(key, model, slices[0], priority, objects, now)
        whole.request = None
        whole.parts = tuple((key[0], f"{key[1]}/{number}") for number in range(len(slices)))
        for part_key, request in zip(whole.parts, slices, strict=True):
            part = self._waiting[part_key] = self._new(part_key, model, request, priority, objects, now)
            part.parent = key
        whole.texts = sum(self.jobs[part].texts for part in whole.parts)
        return whole

    def _new(
        self, key: JobKey, model: str, request: Request, priority: str, objects: tuple[str, ...], now: float
    ) -> Job:
        self._numbers += 1
        followed = kept(request)
        near = followed.epoch if followed else ""
        job = Job(key, model, request, method(request), priority, objects, self._numbers, now, near)
        job.texts = len(texts(request))
        self.jobs[key] = job
        return job

    def whole(self, job: Job) -> Job:
        """The job that its user knows: the one that this is a part of, or itself."""
        return self.jobs[job.parent] if job.parent else job

    def parts(self, job: Job) -> list[Job]:
        return [self.jobs[key] for key in job.parts]

    def settle(self, part: Job, now: float) -> Job:
        """Take note of the end of a part: the whole job, which may have ended with it."""
        whole = self.whole(part)
        if whole.ended_state:
            return whole
        states = {other.state for other in self.parts(whole)}
        if part.state == "failed":
            whole.failure = part.failure
            self._finish(whole, "failed", now)
        elif states <= {"done", "cancelled"}:
            self._finish(whole, "cancelled" if "cancelled" in states else "done", now)
        return whole

    def withdraw(self, whole: Job, now: float) -> list[Job]:
        """Let no more of a job's parts run; those that run already are marked, and their groups must be told."""
        running = []
        for part in self.parts(whole):
            if part.state == "queued":
                self._waiting.pop(part.key)
                self._finish(part, "cancelled", now)
            elif part.state == "running":
                part.cancelling = True
                running.append(part)
        return running

    def queued_of(self, user: str) -> int:
        """How many jobs of a user wait, wholly or in part."""
        return len({job.parent or key for key, job in self._waiting.items() if key[0] == user})

    def places(self) -> dict[JobKey, int]:
        """How many waiting jobs would be handed out before each."""
        return {key: place for place, key in enumerate(order(self._views(), self._last_user))}

    def hand_out(self) -> list[Job]:
        """Take jobs from the queue for groups with room; each is a new attempt."""
        if not self._waiting:
            return []
        groups = [
            Free(g.name, g.model, len(g.running), g.slots, any(self.jobs[k].suspect for k in g.running))
            for g in self.groups.values()
            if g.state == "up"
        ]
        taken = []
        for key, group in assign(self._views(), groups, self._last_user):
            job = self._waiting.pop(key)
            job.state, job.group, job.started = "running", group, False
            job.attempt += 1
            self.groups[group].running.add(key)
            self._last_user = key[0]
            whole = self.whole(job)
            whole.state, whole.attempt = "running", max(1, whole.attempt)
            taken.append(job)
        return taken

    def started(self, key: JobKey, group: str) -> Job | None:
        job = self._running(key, group)
        if job:
            job.started = True
        return job

    def end(self, key: JobKey, group: str, attempt: int, state: JobState, now: float) -> Job | None:
        """The end of an attempt as its group tells it; None when it is not the one that counts."""
        job = self._running(key, group)
        if job is None or job.attempt != attempt:
            return None
        self._finish(job, state, now)
        return job

    def cancel(self, key: JobKey, now: float) -> Job | None:
        """A queued job ends at once; a running one is marked, and its group must be told."""
        job = self.jobs.get(key)
        if job is None or job.ended_state:
            return job
        if job.parts:
            job.cancelling = True
            if not self.withdraw(job, now):
                self._finish(job, "cancelled", now)
        elif job.state == "queued":
            self._waiting.pop(key)
            self._finish(job, "cancelled", now)
        else:
            job.cancelling = True
        return job

    def fail(self, job: Job, now: float) -> None:
        """End a job that waits."""
        self._waiting.pop(job.key, None)
        self._finish(job, "failed", now)

    def waiting_for(self, model: str) -> list[Job]:
        return [job for job in self._waiting.values() if job.model == model]

    def beat(self, name: str, model: str, state: str, trouble: str, now: float) -> list[Job]:
        """A nanny's word about its group; jobs that were lost with a process that died."""
        group = self.groups.setdefault(name, Group(name, model))
        group.heard = now
        if state == "alive":
            group.state = group.state if group.state in ("up", "loading") else "loading"
            return []
        lost = self.lose(name, now) if group.state == "up" else []
        group.state, group.trouble = state, trouble or group.trouble
        return lost

    def ready(self, name: str, route: bytes, epoch: str, card: ModelCard, slots: int, now: float) -> list[Job]:
        """A process of a group serves; jobs that its predecessor had are lost with it."""
        group = self.groups.setdefault(name, Group(name, card.name))
        lost = self.lose(name, now) if group.epoch != epoch else []
        group.route, group.epoch, group.card, group.slots = route, epoch, card, slots
        group.state, group.heard, group.trouble = "up", now, ""
        return lost

    def lose(self, name: str, now: float, died: bool = True) -> list[Job]:
        """The process of a group is gone: its jobs go back to the queue, or end as poison after `STRIKES`.

        Only a death is held against a job; a group that merely fell silent may have been cut off.
        """
        group = self.groups[name]
        group.state, group.route = "down", b""
        jobs = [self.jobs[key] for key in group.running]
        group.running = set()
        batch = [job for job in jobs if job.started]
        for job in jobs:
            job.group = ""
            if job.started and died:
                job.suspect = True
                job.strikes += len(batch) == 1
            if job.cancelling:
                self._finish(job, "cancelled", now)
            elif job.strikes >= STRIKES:
                self._finish(job, "failed", now)
            else:
                job.state = "queued"
                self._waiting[job.key] = job
        return jobs

    def silent(self, now: float, patience: float) -> list[str]:
        """Groups whose nanny has said nothing for `patience` seconds."""
        return [g.name for g in self.groups.values() if g.state != "gone" and now - g.heard > patience]

    def forget(self, key: JobKey) -> None:
        """Drop a job that has ended. A part that still runs goes when its group says how it ended, or is lost."""
        job = self.jobs.pop(key, None)
        self._waiting.pop(key, None)
        for part in job.parts if job else ():
            self.forget(part)

    def info(self, job: Job, places: dict[JobKey, int]) -> JobInfo:
        """A job as its owner sees it."""
        return JobInfo(
            job=job.key[1],
            user=job.key[0],
            model=job.model,
            method=job.method,
            state=job.state,
            ahead=min((places[key] for key in job.parts or (job.key,) if key in places), default=0),
            attempt=job.attempt,
            worker=", ".join(sorted({part.group for part in self.parts(job) if part.group})) or job.group,
            seconds=job.seconds,
        )

    def of_user(self, user: str) -> Iterator[Job]:
        return (job for key, job in self.jobs.items() if key[0] == user and not job.parent)

    def ended(self) -> list[Job]:
        """Jobs that have ended, with all their parts."""
        return [
            job
            for job in self.jobs.values()
            if job.ended_state and not job.parent and all(part.ended_state for part in self.parts(job))
        ]

    @property
    def queued(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return sum(len(group.running) for group in self.groups.values())

    def _views(self) -> list[Waiting]:
        """What may be handed out: of a job in slices only as many as keep its groups busy, so that others find room."""
        holders = {group.epoch: group.name for group in self.groups.values()}
        room: dict[JobKey, int] = {}
        views = []
        for job in self._waiting.values():
            if job.parent:
                if job.parent not in room:
                    room[job.parent] = self._room(self.jobs[job.parent])
                room[job.parent] -= 1
                if room[job.parent] < 0:
                    continue
            near = holders.get(job.near, "")
            views.append(Waiting(job.key, job.model, job.number, job.priority, job.suspect, near, bool(job.parent)))
        return views

    def _room(self, whole: Job) -> int:
        """How many more parts of a job may run."""
        up = sum(group.state == "up" and group.model == whole.model for group in self.groups.values())
        return PARTS_AT_ONCE * up - sum(self.jobs[key].state == "running" for key in whole.parts)

    def _running(self, key: JobKey, group: str) -> Job | None:
        job = self.jobs.get(key)
        return job if job and job.state == "running" and job.group == group else None

    def _finish(self, job: Job, state: JobState, now: float) -> None:
        if job.group:
            self.groups[job.group].running.discard(job.key)
        job.state, job.ended, job.request = state, now, None
        job.seconds = now - job.submitted
