"""The book of jobs and groups: every change of state, with time and sockets left outside.

A job is (user, id). Each attempt has a number, and what an old attempt sends is not believed. When a group dies, every job of
its batch is suspect and is run again alone; only a job that was alone when its group died gains a strike.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from ..methods.plans import method, near, texts
from ..methods.requests import Request
from ..program.cards import ModelCard
from ..wire.standing import JobState
from .feeding import Feeding
from .jobs import Group, Job
from .registry import Registry
from .routing import cards_of, waiting
from .schedule import Free, JobKey, Schedule, Waiting
from .work import Pace, share_out

STRIKES = 3
#: How often an attempt may get lost on the way before its job is given up.
MOST_ASTRAY = 8
#: An attempt that its group does not have so many seconds after it was given, was lost on the way.
_ARRIVES = 3.0


class Book(Registry):
    """Jobs and groups of a pool. `weight` gives a user's share, `most_rows` how many rows of one user run at once."""

    def __init__(
        self, weight: Callable[[str], float] = lambda user: 1.0, most_rows: Callable[[str], int] = lambda user: 1 << 30
    ) -> None:
        super().__init__()
        self.groups: dict[str, Group] = {}
        #: Nothing is handed out.
        self.paused = False
        self._schedule, self._pace = Schedule(weight, most_rows), Pace()
        self._feeding = Feeding(self.jobs, self._schedule_one)
        self._numbers = 0

    def submit(
        self,
        key: JobKey,
        model: str,
        slices: Sequence[Request],
        priority: str,
        objects: tuple[str, ...],
        now: float,
        costs: Sequence[float] = (),
        size: int = 0,
        groups: tuple[str, ...] = (),
    ) -> Job:
        """A new job at the end of its user's queue; of several `slices` each is a part of it. `costs` are their predicted
        seconds, `size` the bytes of the request, `groups` those of the user."""
        predicted = costs or [1.0] * len(slices)
        if len(slices) == 1:
            job = self._new(key, model, slices[0], priority, objects, now)
            job.cost, job.predicted, job.size, job.groups = predicted[0], bool(costs), size, groups
            self._wait(job)
            return job
        whole = self._new(key, model, slices[0], priority, objects, now)
        whole.request, whole.groups = None, groups
        whole.parts = tuple((key[0], f"{key[1]}/{number}") for number in range(len(slices)))
        for part_key, request, cost in zip(whole.parts, slices, predicted, strict=True):
            part = self._new(part_key, model, request, priority, objects, now)
            part.parent, part.cost, part.predicted = key, cost, bool(costs)
            part.size, part.groups = size // len(slices), groups
            self.line.add(part)
        whole.texts = sum(self.jobs[part].texts for part in whole.parts)
        self._feeding.feed(whole, self.ups(whole.model))
        return whole

    def _new(
        self, key: JobKey, model: str, request: Request, priority: str, objects: tuple[str, ...], now: float
    ) -> Job:
        self._numbers += 1
        job = Job(key, model, request, method(request), priority, objects, self._numbers, now, near(request))
        job.texts = len(texts(request))
        self.put(job, fresh=True)
        return job

    def recall(self, jobs: Iterable[tuple[Job, str]], now: float) -> None:
        """Jobs as an earlier broker left them, each with the epoch of the process that ran it: those that ran wait for their
        groups to speak."""
        for job, epoch in jobs:
            self.put(job)
            self._numbers = max(self._numbers, job.number)
            if job.state == "queued" and job.parent:
                self.line.add(job)
            elif job.state == "queued" and not job.parts:
                self._wait(job)
            elif job.state == "running" and not job.parts:
                self._recall_running(job, epoch, now)
        self.order_ends()
        for whole in [job for job in self.jobs.values() if job.parts and not job.ended_state]:
            states = [part.state for part in self.parts(whole)]
            whole.fed = states.index("queued") if "queued" in states else len(states)

    def _recall_running(self, job: Job, epoch: str, now: float) -> None:
        group = self.groups.setdefault(
            job.group, Group(job.group, job.model, epoch=epoch, state="silent", heard=now, metered=now, recalled=True)
        )
        group.running.add(job.key)
        job.handed = job.left = now
        job.view = waiting(job, self.groups.values(), self._pace)
        self._schedule.resume(job.view)
        if job.parent:
            self._feeding.fed(job)

    def settle(self, part: Job, now: float) -> Job:
        """Take note of the end of a part: the whole job, which may have ended with it."""
        whole = self.whole(part)
        if whole.ended_state:
            self._feeding.feed(whole, self.ups(whole.model))
            return whole
        states = {other.state for other in self.parts(whole)}
        if part.state == "failed":
            whole.failure = part.failure
            self._finish(whole, "failed", now)
        elif states <= {"done", "cancelled"}:
            self._finish(whole, "cancelled" if "cancelled" in states else "done", now)
        self._feeding.feed(whole, self.ups(whole.model))
        return whole

    def withdraw(self, whole: Job, now: float) -> list[Job]:
        """Let no more of a job's parts run; those that run already are marked, and their groups must be told."""
        running = []
        for part in self.parts(whole):
            if part.state == "queued":
                self._unwait(part.key)
                self._finish(part, "cancelled", now)
            elif part.state == "running":
                part.left = part.left if part.cancelling else now
                part.cancelling = True
                self.note(part)
                running.append(part)
        return running

    def rows_of(self, user: str) -> int:
        """How many rows of a user run."""
        return self._schedule.rows(user)

    def hand_out(self, now: float = 0.0) -> list[Job]:
        """Take jobs from the queue for groups with room; each is a new attempt."""
        if self.paused or not len(self._schedule):
            return []
        groups = [
            Free(g.name, g.model, len(g.running), g.slots, any(self.jobs[k].suspect for k in g.running), g.engine)
            for g in self.groups.values()
            if g.state == "up" and not g.held_back
        ]
        taken = []
        for key, group in self._schedule.hand_out(groups, now):
            job = self.line.take(key)
            assert job is not None
            job.state, job.group, job.started, job.work = "running", group, False, 0.0
            job.attempt += 1
            job.handed = now
            self._meter(self.groups[group], now)
            self.groups[group].running.add(key)
            whole = self.whole(job)
            if whole is not job and whole.state != "running":
                whole.state, whole.attempt = "running", max(1, whole.attempt)
                self.note(whole)
            self.note(job)
            taken.append(job)
        return taken

    def started(self, key: JobKey, group: str, attempt: int, now: float = 0.0) -> Job | None:
        job = self._running(key, group)
        if job and job.attempt == attempt:
            self._meter(self.groups[group], now)
            job.started = True
            return job
        return None

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
        self.note(job)
        if job.parts:
            job.cancelling = True
            if not self.withdraw(job, now):
                self._finish(job, "cancelled", now)
        elif job.state == "queued":
            self._unwait(key)
            self._finish(job, "cancelled", now)
        elif not job.cancelling:
            job.cancelling, job.left = True, now
        return job

    def fail(self, job: Job, now: float) -> None:
        """End a job that waits, or of which parts do."""
        self.withdraw(job, now)
        self._unwait(job.key)
        self._finish(job, "failed", now)

    def beat(
        self, name: str, model: str, state: str, trouble: str, now: float, awaited: str = "", blameless: bool = False
    ) -> list[Job]:
        """A nanny's word about its group; jobs that were lost with a process that died."""
        group = self.groups.setdefault(name, Group(name, model))
        group.heard = now
        if state == "leaving":
            group.restarting = group.leaving = True
        if group.unfit and state == "alive":
            return []
        if state in ("alive", "leaving"):
            group.state = group.state if group.state in ("up", "loading") else "loading"
            group.awaited = awaited
            return []
        lost = self.lose(name, now, died=not (group.blameless or blameless)) if group.running else []
        group.state, group.trouble = state, trouble or group.trouble
        if group.leaving:
            del self.groups[name]
        if group.leaving or state == "failed":
            self._reroute(model)
        return lost

    def refuse(self, name: str, model: str, unfit: str, now: float) -> list[Job]:
        """A process of a group is given nothing, until one comes that is fit; jobs that it had are lost."""
        lost = self.beat(name, model, "failed", unfit, now, blameless=True)
        if name in self.groups:
            self.groups[name].unfit = unfit
        return lost

    def ready(
        self,
        name: str,
        route: bytes,
        epoch: str,
        card: ModelCard,
        slots: int,
        now: float,
        has: Collection[tuple[int, int]] = (),
    ) -> list[Job]:
        """A process of a group serves, and has some attempts: (number of the job, of the attempt). Jobs that its predecessor
        had are lost with it, and those that never arrived, or whose end did not."""
        group = self.groups.setdefault(name, Group(name, card.name))
        same = group.epoch == epoch
        lost = self._astray(group, has, now) if same else self.lose(name, now, died=not group.blameless)
        if not same:
            group.recalled = group.kicked = group.restarting = group.leaving = False
        before, group.word = same and group.state == "up", now
        known, old = self.cards(card.name), group.card
        group.route, group.epoch, group.card, group.slots = route, epoch, card, slots
        group.state, group.heard, group.trouble, group.unfit = "up", now, "", ""
        if known and card != old:
            self._reroute(card.name)
        wholes = {job.parent for job in self.line if job.parent and job.model == group.model} if not before else ()
        for whole in wholes:
            self._feeding.feed(self.jobs[whole], self.ups(group.model))
        return lost

    def lose(self, name: str, now: float, died: bool = True) -> list[Job]:
        """The process of a group is gone: its jobs go back to the queue, or end as poison after `STRIKES`.

        Only a death is held against a job; a group that merely fell silent may have been cut off.
        """
        group = self.groups[name]
        group.state, group.route = "down", b""
        self._meter(group, now)
        jobs = [self.jobs[key] for key in group.running]
        # What was in the batch may have killed it; where nothing was yet, whatever had been handed out.
        batch = [job for job in jobs if job.started] or jobs
        for job in jobs:
            if job in batch and died:
                job.suspect = True
                job.strikes += len(batch) == 1
            self._take_back(group, job, now)
        return jobs

    def _astray(self, group: Group, has: Collection[tuple[int, int]], now: float) -> list[Job]:
        jobs = [self.jobs[key] for key in group.running]
        lost = [job for job in jobs if (job.number, job.attempt) not in has and now - job.handed > _ARRIVES]
        if lost:
            self._meter(group, now)
        for job in lost:
            job.astray += 1
            self._take_back(group, job, now)
        return lost

    def _take_back(self, group: Group, job: Job, now: float) -> None:
        """A group has a job no longer: it waits again, or ends."""
        group.running.discard(job.key)
        job.group = ""
        self._release(job)
        self.note(job)
        if job.cancelling:
            self._finish(job, "cancelled", now)
        elif job.strikes >= STRIKES or job.astray >= MOST_ASTRAY:
            self._finish(job, "failed", now)
        else:
            job.state = "queued"
            self._wait(job)

    def retire(self, name: str, now: float) -> list[Job]:
        """A group was ended by the pool itself."""
        lost = self.lose(name, now, died=False) if name in self.groups else []
        if group := self.groups.pop(name, None):
            self._reroute(group.model)
        return lost

    def gone(self, before: float) -> list[str]:
        """Groups that are gone, and of which nothing was heard since a time."""
        return [g.name for g in self.groups.values() if g.state == "gone" and g.heard < before]

    def silent(self, now: float, patience: float) -> list[str]:
        """Groups whose nanny has said nothing for `patience` seconds."""
        return [g.name for g in self.groups.values() if g.state != "gone" and now - g.heard > patience]

    @property
    def running(self) -> int:
        return sum(len(group.running) for group in self.groups.values())

    def forget(self, key: JobKey) -> None:
        """Drop a job that has ended, or was never accepted, with its parts."""
        job = self.jobs.get(key)
        self._unwait(key)
        if job is None:
            return
        if not job.ended_state:
            self._feeding.ended(job)
        self.drop(job)
        for part in job.parts:
            self.forget(part)

    def shed(self, whole: Job) -> None:
        """Forget the parts of a job that will have no result, once none runs."""
        if self.over(whole):
            for part in whole.parts:
                self.forget(part)
            whole.parts = ()
            self.note(whole)

    def ups(self, model: str) -> int:
        """How many groups serve a model."""
        return sum(group.state == "up" and group.model == model for group in self.groups.values())

    def order(self, now: float) -> Iterable[Waiting]:
        """The waiting jobs of one model after another, as they would be handed out."""
        return self._schedule.order(now)

    def cards(self, model: str) -> tuple[ModelCard, ...]:
        """What can be asked of a model, for each engine that serves it."""
        return cards_of(self.groups.values(), model)

    def _reroute(self, model: str) -> None:
        """Look again which engine the waiting jobs of a model need."""
        for job in self.waiting_for(model):
            if job.key in self._schedule:
                self._schedule.remove(job.key)
                self._schedule_one(job)

    def _wait(self, job: Job) -> None:
        self.line.add(job)
        self._schedule_one(job)

    def _unwait(self, key: JobKey) -> None:
        self._schedule.remove(key)
        self.line.take(key)

    def _schedule_one(self, job: Job) -> None:
        job.view = waiting(job, self.groups.values(), self._pace)
        self._schedule.add(job.view)

    def _meter(self, group: Group, now: float) -> None:
        """Share the time out among the jobs of the batch; where none has begun, among those that were handed out."""
        running = [self.jobs[key] for key in group.running]
        group.busy.note(bool(running), now)
        share_out(group, [job for job in running if job.started] or running, now)

    def _release(self, job: Job) -> None:
        """A job runs no more: its user is charged what it took."""
        if job.view:
            self._schedule.ended(job.view, job.work)
            self.whole(job).spent += job.work
            job.view = None

    def _running(self, key: JobKey, group: str) -> Job | None:
        job = self.jobs.get(key)
        return job if job and job.state == "running" and job.group == group else None

    def _finish(self, job: Job, state: JobState, now: float) -> None:
        if job.group:
            self._meter(self.groups[job.group], now)
            self.groups[job.group].running.discard(job.key)
            if state == "done" and job.started and job.predicted:
                self._pace.learn(job.model, job.method, job.cost, job.work)
            self._release(job)
        self._feeding.ended(job)
        job.state, job.ended, job.request = state, now, None
        job.seconds = now - job.submitted
        self.note_end(job)
