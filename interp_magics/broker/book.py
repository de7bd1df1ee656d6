"""The book of jobs and groups: every change of state, with time and sockets left outside.

A job is (user, id). Each attempt has a number, and what an old attempt sends is not believed. When a group dies, every job of
its batch is suspect and is run again alone; only a job that was alone when its group died gains a strike.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from ..methods.plans import kept, method, texts
from ..methods.requests import Request
from ..program.cards import ModelCard
from ..wire.standing import JobInfo, JobState
from .jobs import Changes, Group, Job, Place
from .line import Line
from .schedule import Free, JobKey, Schedule, Waiting
from .work import LEAST_COST, Pace, share_out

STRIKES = 3
#: How often an attempt may get lost on the way before its job is given up.
MOST_ASTRAY = 8
#: How many parts of one job run at once, for each group that holds its model: one that runs and one that waits there.
PARTS_AT_ONCE = 2
#: An attempt that its group does not have so many seconds after it was given, was lost on the way.
_ARRIVES = 3.0
#: For how many seconds an estimate of places in the queue is good.
_PLACES_LAST = 0.5


class Book:
    """Jobs and groups of a pool. `weight` gives a user's share, `most_rows` how many rows of one user run at once."""

    def __init__(
        self, weight: Callable[[str], float] = lambda user: 1.0, most_rows: Callable[[str], int] = lambda user: 1 << 30
    ) -> None:
        self.jobs: dict[JobKey, Job] = {}
        self.groups: dict[str, Group] = {}
        self._line = Line()
        #: Whole jobs of each user, and those that have ended in the order of their end.
        self._users: dict[str, dict[JobKey, Job]] = {}
        self._over: deque[JobKey] = deque()
        self._schedule, self._pace = Schedule(weight, most_rows), Pace()
        #: For each user and model: sliced jobs with parts that the schedule does not know yet, and how many parts it does.
        self._unfed: dict[tuple[str, str], dict[JobKey, Job]] = {}
        self._open: Counter[tuple[str, str]] = Counter()
        self._numbers = 0
        #: Nothing is handed out.
        self.paused = False
        self._changes = Changes()
        self._places: dict[JobKey, Place] = {}
        self._placed = float("-inf")

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
            self._line.add(part)
        whole.texts = sum(self.jobs[part].texts for part in whole.parts)
        self._feed(whole)
        return whole

    def _new(
        self, key: JobKey, model: str, request: Request, priority: str, objects: tuple[str, ...], now: float
    ) -> Job:
        self._numbers += 1
        followed = kept(request)
        near = followed.epoch if followed else ""
        job = Job(key, model, request, method(request), priority, objects, self._numbers, now, near)
        job.texts = len(texts(request))
        self._changes.fresh[job.number] = job
        self._put(job)
        return job

    def _put(self, job: Job) -> None:
        self.jobs[job.key] = job
        if not job.parent and "/" not in job.key[1]:
            self._users.setdefault(job.key[0], {})[job.key] = job

    def changes(self) -> Changes:
        """What has changed since this was last asked."""
        taken, self._changes = self._changes, Changes()
        return taken

    def note(self, job: Job) -> None:
        """A job has changed."""
        if job.number not in self._changes.fresh:
            self._changes.changed[job.number] = job

    def recall(self, jobs: Iterable[tuple[Job, str]], now: float) -> None:
        """Jobs as an earlier broker left them, each with the epoch of the process that ran it: those that ran wait for their
        groups to speak."""
        for job, epoch in jobs:
            self._put(job)
            self._numbers = max(self._numbers, job.number)
            if job.state == "queued" and job.parent:
                self._line.add(job)
            elif job.state == "queued" and not job.parts:
                self._wait(job)
            elif job.state == "running" and not job.parts:
                self._recall_running(job, epoch, now)
        ended = [job for job in self.jobs.values() if job.ended_state and not job.parent]
        self._over.extend(job.key for job in sorted(ended, key=lambda job: job.ended))
        for whole in [job for job in self.jobs.values() if job.parts and not job.ended_state]:
            states = [part.state for part in self.parts(whole)]
            whole.fed = states.index("queued") if "queued" in states else len(states)

    def _recall_running(self, job: Job, epoch: str, now: float) -> None:
        group = self.groups.setdefault(
            job.group, Group(job.group, job.model, epoch=epoch, state="silent", heard=now, metered=now, recalled=True)
        )
        group.running.add(job.key)
        job.handed = job.left = now
        job.view = self._view(job)
        self._schedule.resume(job.view)
        if job.parent:
            job.fed = 1
            self._open[job.key[0], job.model] += 1

    def whole(self, job: Job) -> Job:
        """The job that its user knows: the one that this is a part of, or itself."""
        return self.jobs[job.parent] if job.parent else job

    def parts(self, job: Job) -> list[Job]:
        return [self.jobs[key] for key in job.parts]

    def settle(self, part: Job, now: float) -> Job:
        """Take note of the end of a part: the whole job, which may have ended with it."""
        whole = self.whole(part)
        if whole.ended_state:
            self._feed(whole)
            return whole
        states = {other.state for other in self.parts(whole)}
        if part.state == "failed":
            whole.failure = part.failure
            self._finish(whole, "failed", now)
        elif states <= {"done", "cancelled"}:
            self._finish(whole, "cancelled" if "cancelled" in states else "done", now)
        self._feed(whole)
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

    def queued_of(self, user: str) -> int:
        """How many jobs of a user wait, each part of one that is run in slices counted."""
        return self._line.of(user)

    def bytes_of(self, user: str) -> int:
        """Bytes of a user's requests that wait."""
        return self._line.bytes_of(user)

    def queued_for(self, model: str) -> int:
        """How many jobs and parts wait for a model."""
        return self._line.on(model)

    def rows_of(self, user: str) -> int:
        """How many rows of a user run."""
        return self._schedule.rows(user)

    def places(self, now: float) -> dict[JobKey, Place]:
        """Where waiting jobs are, if all takes what is predicted."""
        if now - self._placed < _PLACES_LAST:
            return self._places
        before: dict[str, float] = {}
        ahead: Counter[str] = Counter()
        ups = Counter(group.model for group in self.groups.values() if group.state == "up")
        self._places, self._placed = {}, now
        for job in self._schedule.order(now):
            work = before.get(job.model, 0.0)
            self._places[job.key] = Place(ahead[job.model], work / max(1, ups[job.model]))
            before[job.model] = work + job.cost
            ahead[job.model] += 1
        return self._places

    def hand_out(self, now: float = 0.0) -> list[Job]:
        """Take jobs from the queue for groups with room; each is a new attempt."""
        if self.paused or not len(self._schedule):
            return []
        groups = [
            Free(g.name, g.model, len(g.running), g.slots, any(self.jobs[k].suspect for k in g.running))
            for g in self.groups.values()
            if g.state == "up" and not g.held_back
        ]
        taken = []
        for key, group in self._schedule.hand_out(groups, now):
            job = self._line.take(key)
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
        """End a job that waits."""
        self._unwait(job.key)
        self._finish(job, "failed", now)

    def waiting_for(self, model: str) -> list[Job]:
        return [job for job in self._line if job.model == model]

    def beat(self, name: str, model: str, state: str, trouble: str, now: float) -> list[Job]:
        """A nanny's word about its group; jobs that were lost with a process that died."""
        group = self.groups.setdefault(name, Group(name, model))
        group.heard = now
        if state == "leaving":
            group.restarting = group.leaving = True
        if state in ("alive", "leaving"):
            group.state = group.state if group.state in ("up", "loading") else "loading"
            return []
        lost = self.lose(name, now, died=not group.blameless) if group.running else []
        group.state, group.trouble = state, trouble or group.trouble
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
        group.word = now
        group.route, group.epoch, group.card, group.slots = route, epoch, card, slots
        group.state, group.heard, group.trouble = "up", now, ""
        for whole in {job.parent for job in self._line if job.parent and job.model == group.model}:
            self._feed(self.jobs[whole])
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
        self.groups.pop(name, None)
        return lost

    def silent(self, now: float, patience: float) -> list[str]:
        """Groups whose nanny has said nothing for `patience` seconds."""
        return [g.name for g in self.groups.values() if g.state != "gone" and now - g.heard > patience]

    def forget(self, key: JobKey) -> None:
        """Drop a job that has ended. A part that still runs goes when its group says how it ended, or is lost."""
        job = self.jobs.pop(key, None)
        self._unwait(key)
        if job and job.parts:
            self._unfeed(job)
        if job and job.parent and job.fed and not job.ended_state:
            self._open[key[0], job.model] -= 1
        mine = self._users.get(key[0], {})
        if mine.pop(key, None) and not mine:
            del self._users[key[0]]
        if job and not self._changes.fresh.pop(job.number, None):
            self._changes.changed.pop(job.number, None)
            self._changes.gone.add(job.number)
        for part in job.parts if job else ():
            self.forget(part)

    def shed(self, whole: Job) -> None:
        """Forget the parts of a job that will have no result, once none runs."""
        if self.over(whole):
            for part in whole.parts:
                self.forget(part)
            whole.parts = ()
            self.note(whole)

    def info(self, job: Job, places: dict[JobKey, Place], now: float) -> JobInfo:
        """A job as those see it who may."""
        waits = [places[key] for key in job.parts or (job.key,) if key in places]
        ups = sum(group.state == "up" and group.model == job.model for group in self.groups.values())
        last = Place(self._line.on(job.model) - len(job.parts), self._line.work(job.model) / max(1, ups))
        unknown = last if job.state == "queued" else Place(0, 0.0)
        first = min(waits, key=lambda place: place.ahead, default=unknown)
        return JobInfo(
            job=job.key[1],
            user=job.key[0],
            priority="batch" if job.priority == "batch" else "interactive",
            submitted=round(now - job.submitted, 3),
            done=sum(part.texts for part in self.parts(job) if part.state == "done"),
            texts=job.texts,
            shared=tuple(sorted(job.shared)),
            model=job.model,
            method=job.method,
            state=job.state,
            ahead=first.ahead,
            wait=round(first.wait, 3),
            attempt=job.attempt,
            worker=", ".join(sorted({part.group for part in self.parts(job) if part.group})) or job.group,
            seconds=job.seconds,
        )

    def of_user(self, user: str) -> Iterator[Job]:
        """Whole jobs, the newest first."""
        return reversed(self._users.get(user, {}).values())

    def count_of(self, user: str) -> int:
        """How many whole jobs of a user are known, ended ones too."""
        return len(self._users.get(user, ()))

    def ended(self, before: float) -> Iterator[Job]:
        """Whole jobs that ended before a time, with all their parts; they are to be forgotten."""
        late = []
        while self._over:
            job = self.jobs.get(self._over[0])
            if job is not None and job.ended >= before:
                break
            key = self._over.popleft()
            if job is not None and self.over(job):
                yield job
            elif job is not None:
                late.append(key)
        self._over.extendleft(reversed(late))

    def oldest_ended(self, user: str) -> Job | None:
        """The job of a user that was submitted first, of those that are over."""
        return next((job for job in self._users.get(user, {}).values() if self.over(job)), None)

    def over(self, job: Job) -> bool:
        """Whether a job has ended with all its parts."""
        return job.ended_state and all(part.ended_state for part in self.parts(job))

    @property
    def queued(self) -> int:
        return len(self._line)

    @property
    def running(self) -> int:
        return sum(len(group.running) for group in self.groups.values())

    def _wait(self, job: Job) -> None:
        self._line.add(job)
        self._schedule_one(job)

    def _unwait(self, key: JobKey) -> None:
        self._schedule.remove(key)
        self._line.take(key)

    def _schedule_one(self, job: Job) -> None:
        job.view = self._view(job)
        self._schedule.add(job.view)

    def _view(self, job: Job) -> Waiting:
        near = next((group.name for group in self.groups.values() if job.near and group.epoch == job.near), "")
        cost = max(LEAST_COST, self._pace.expected(job.model, job.method, job.cost))
        whole = bool(job.parent)
        return Waiting(
            job.key, job.model, job.number, job.priority, job.suspect, near, whole, cost, job.texts, job.submitted
        )

    def _feed(self, whole: Job) -> None:
        """Put as many more parts of a user's jobs to the schedule as keep the groups busy, so that others find room."""
        place = (whole.key[0], whole.model)
        waiting = self._unfed.setdefault(place, {})
        if whole.fed < len(whole.parts) and not whole.ended_state:
            waiting[whole.key] = whole
        up = sum(group.state == "up" and group.model == whole.model for group in self.groups.values())
        while waiting and self._open[place] < PARTS_AT_ONCE * up:
            first = next(iter(waiting.values()))
            part = self.jobs[first.parts[first.fed]]
            first.fed += 1
            if part.state == "queued":
                part.fed = 1
                self._open[place] += 1
                self._schedule_one(part)
            if first.fed == len(first.parts):
                del waiting[first.key]
        if not waiting:
            del self._unfed[place]

    def _unfeed(self, whole: Job) -> None:
        """No more parts of a job are to run."""
        waiting = self._unfed.get((whole.key[0], whole.model), {})
        waiting.pop(whole.key, None)

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
        if job.parent and job.fed:
            self._open[job.key[0], job.model] -= 1
        if job.parts:
            self._unfeed(job)
        job.state, job.ended, job.request = state, now, None
        job.seconds = now - job.submitted
        self.note(job)
        if not job.parent:
            self._changes.ended.append(job)
            self._over.append(job.key)
