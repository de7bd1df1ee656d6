"""Which waiting job goes to which worker group: users by the work that they had, weighted; no sockets and no clock.

For each model every user has a virtual time, the work that was done for them over their weight, and the one who is furthest
behind is next (start-time fair queueing, Goyal, Vin and Cheng 1996). Two users who always have something waiting are never
further apart than one job of each, so shares follow weights whatever the sizes of jobs. Whoever has nothing that could run
comes back at the time that the model has reached: next in turn, with neither credit nor debt for the time away.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

JobKey = tuple[str, str]

#: Seconds after which a batch job is taken as an interactive one.
AGING = 60.0


@dataclass(frozen=True)
class Waiting:
    """A queued job. `alone` jobs share no batch; `number` is the order of submission; `near` the group that holds rows
    that it follows up; a `part` of a larger job waits behind what is whole. `cost` is its predicted work in seconds of a
    group, `rows` what it holds there, `since` when it came, `engine` the one that it needs ("": any)."""

    key: JobKey
    model: str
    number: int
    priority: str = "interactive"
    alone: bool = False
    near: str = ""
    part: bool = False
    cost: float = 1.0
    rows: int = 1
    since: float = 0.0
    engine: str = ""

    @property
    def user(self) -> str:
        return self.key[0]

    def lane(self, now: float) -> int:
        """0 for what is answered first."""
        return int(self.priority != "interactive" and now - self.since < AGING)


@dataclass(frozen=True)
class Free:
    """A group that serves `model` on `engine`: how many jobs it runs, how many it takes, whether it runs one that must be
    alone."""

    group: str
    model: str
    running: int
    slots: int
    closed: bool = False
    engine: str = ""

    def serves(self, job: Waiting) -> bool:
        """Whether it can run a job."""
        return job.engine in ("", self.engine)


@dataclass
class _User:
    """What a user has had of a model (`used`, over their weight; `charged` of it for jobs that run), how many jobs wait for
    it and how many rows run. What each running job was charged is remembered, since weights may change."""

    used: float = 0.0
    waiting: int = 0
    rows: int = 0
    charges: dict[JobKey, float] = field(default_factory=dict)

    @property
    def charged(self) -> float:
        return sum(self.charges.values())


@dataclass
class _Queue:
    """The jobs of one user for one model: a heap by order of submission for each kind, from which jobs may have gone."""

    heaps: dict[tuple[bool, bool, str], list[tuple[int, JobKey]]] = field(default_factory=dict)

    def push(self, job: Waiting) -> None:
        heappush(self.heaps.setdefault(_kind(job), []), (job.number, job.key))

    def heads(self, jobs: dict[JobKey, Waiting]) -> list[Waiting]:
        """The oldest job of each kind."""
        found = []
        for kind, heap in self.heaps.items():
            while heap and not _is(jobs.get(heap[0][1], _GONE), heap[0][0], kind):
                heappop(heap)
            if heap:
                found.append(jobs[heap[0][1]])
        return found

    def pop(self, job: Waiting) -> None:
        heappop(self.heaps[_kind(job)])


def _is(job: Waiting, number: int, kind: tuple[bool, bool, str]) -> bool:
    return job.number == number and _kind(job) == kind


def _kind(job: Waiting) -> tuple[bool, bool, str]:
    return job.priority != "interactive", job.part, job.engine


_GONE = Waiting(("", ""), "", -1)
#: Of engines with equal load the other one is asked.
_SLOWER = "transformers"
#: Jobs that have gone are left in the heaps until there are so many, and more than those that wait.
_STALE = 1000


class Schedule:
    """What waits, and what each user has had. `weight` gives the share of a user, `most_rows` how many rows of theirs may run
    at once on a model."""

    def __init__(
        self, weight: Callable[[str], float] = lambda user: 1.0, most_rows: Callable[[str], int] = lambda user: 1 << 30
    ) -> None:
        self._weight, self._most_rows = weight, most_rows
        self._jobs: dict[JobKey, Waiting] = {}
        self._queues: dict[str, dict[str, _Queue]] = {}
        self._users: dict[tuple[str, str], _User] = {}
        self._reached: dict[str, float] = {}
        self._stale = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, key: JobKey) -> bool:
        return key in self._jobs

    def add(self, job: Waiting) -> None:
        """A job waits, for the first time or again."""
        user = self._users.setdefault((job.model, job.user), _User())
        if not user.waiting:
            user.used = max(user.used, self._reached.get(job.model, 0.0))
        user.waiting += 1
        self._push(job)

    def remove(self, key: JobKey) -> None:
        """A job waits no more, if it did."""
        job = self._jobs.pop(key, None)
        if job:
            self._users[job.model, job.user].waiting -= 1
            self._stale += 1
            if self._stale > max(_STALE, len(self._jobs)):
                self._queues, self._stale = {}, 0
                for left in self._jobs.values():
                    self._push(left)

    def ended(self, job: Waiting, work: float) -> None:
        """A job that was handed out is over, or will wait again: it took `work` seconds of its group, not what was
        predicted."""
        user = self._users[job.model, job.user]
        user.rows -= job.rows
        user.used += work / self._weight(job.user) - user.charges.pop(job.key)

    def rows(self, name: str) -> int:
        """How many rows of a user run."""
        return sum(user.rows for (_, owner), user in self._users.items() if owner == name)

    def resume(self, job: Waiting) -> None:
        """A job runs that an earlier schedule handed out."""
        self._users.setdefault((job.model, job.user), _User()).waiting += 1
        self._start(job)

    def hand_out(self, groups: Sequence[Free], now: float) -> list[tuple[JobKey, str]]:
        """Take jobs, each with its group: the one that it is near to, if that has room, else the least loaded of its model.

        No slot is left while a job waits for it, but that one group takes nothing more while a job that must be alone waits
        for it to be empty, and that no user runs more rows than they may.
        """
        chosen: list[tuple[JobKey, str]] = []
        for model in {group.model for group in groups if group.model in self._queues}:
            chosen += self._of_model(model, [group for group in groups if group.model == model], now)
        return chosen

    def _of_model(self, model: str, groups: Sequence[Free], now: float) -> list[tuple[JobKey, str]]:
        load = {group.group: group.running for group in groups}
        closed = {group.group for group in groups if group.closed}
        chosen: list[tuple[JobKey, str]] = []
        held_back: list[Waiting] = []
        while places := [g for g in groups if g.group not in closed and load[g.group] < g.slots]:
            job = self._pop(model, now, {"", *(group.engine for group in places)})
            if job is None:
                break
            places = [group for group in places if group.serves(job)]
            if job.alone:
                empty = [g for g in places if load[g.group] == 0]
                if not empty:
                    if not held_back:
                        # One group takes nothing more until it is empty, so that the job's turn comes.
                        closed.add(min(places, key=lambda g: (load[g.group], g.group)).group)
                    held_back.append(job)
                    continue
                places = empty
            best = _nearest(job, places, load)
            load[best] += 1
            if job.alone:
                closed.add(best)
            self._start(job)
            chosen.append((job.key, best))
        for job in held_back:
            self._push(job)
        return chosen

    def _push(self, job: Waiting) -> None:
        self._jobs[job.key] = job
        self._queues.setdefault(job.model, {}).setdefault(job.user, _Queue()).push(job)

    def _pop(self, model: str, now: float, engines: set[str]) -> Waiting | None:
        """Take the next job of a model that one of the engines may run out of its queue: of a user's interactive and aged ones
        first, whole ones before parts, then the oldest."""
        candidates: list[tuple[tuple[int, float, str], Waiting]] = []
        queues = self._queues[model]
        for name, queue in list(queues.items()):
            heads = queue.heads(self._jobs)
            if not heads:
                del queues[name]
                continue
            served = [head for head in heads if head.engine in engines]
            job = min(served, key=lambda head: (head.lane(now), head.part, head.number), default=None)
            if job is None:
                continue
            user = self._users[model, name]
            if user.rows and user.rows + job.rows > self._most_rows(name):
                user.used = max(user.used, self._reached.get(model, 0.0))
                continue
            candidates.append(((job.lane(now), user.used, name), job))
        if not candidates:
            return None
        (lane, _, _), best = min(candidates, key=lambda candidate: candidate[0])
        for (other, _, name), _job in candidates:
            if other > lane:
                behind = self._users[model, name]
                behind.used = max(behind.used, self._reached.get(model, 0.0))
        queues[best.user].pop(best)
        return self._jobs.pop(best.key)

    def _start(self, job: Waiting) -> None:
        user = self._users[job.model, job.user]
        self._reached[job.model] = max(self._reached.get(job.model, 0.0), user.used - user.charged)
        user.waiting -= 1
        user.rows += job.rows
        charge = job.cost / self._weight(job.user)
        user.charges[job.key] = charge
        user.used += charge

    def order(self, now: float) -> Iterable[Waiting]:
        """The waiting jobs of one model after another, each in the order in which they would be handed out, if all took what is
        predicted."""
        models: dict[str, list[Waiting]] = {}
        for job in self._jobs.values():
            models.setdefault(job.model, []).append(job)
        for model, jobs in models.items():
            yield from self._order(model, jobs, now)

    def _order(self, model: str, jobs: Sequence[Waiting], now: float) -> Iterable[Waiting]:
        queues: dict[str, list[tuple[tuple[int, bool, int], Waiting]]] = {}
        for job in jobs:
            queues.setdefault(job.user, []).append(((job.lane(now), job.part, job.number), job))
        used = {name: self._users[model, name].used for name in queues}
        for queue in queues.values():
            queue.sort(key=lambda entry: entry[0], reverse=True)
        turns = [(queue[-1][0][0], used[name], name) for name, queue in queues.items()]
        heapify(turns)
        while turns:
            _, _, name = heappop(turns)
            _, job = queues[name].pop()
            used[name] += job.cost / self._weight(name)
            if queues[name]:
                heappush(turns, (queues[name][-1][0][0], used[name], name))
            yield job


def _nearest(job: Waiting, places: Sequence[Free], load: Mapping[str, int]) -> str:
    return min(
        places, key=lambda group: (group.group != job.near, load[group.group], group.engine == _SLOWER, group.group)
    ).group
