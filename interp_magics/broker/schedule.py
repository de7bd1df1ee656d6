"""Which waiting job goes to which worker group: a pure function of what waits and who is free."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

JobKey = tuple[str, str]


@dataclass(frozen=True)
class Waiting:
    """A queued job. `alone` jobs share no batch; `number` is the order of submission; `near` the group that holds rows
    that it follows up; a `part` of a larger job waits behind what is whole."""

    key: JobKey
    model: str
    number: int
    priority: str = "interactive"
    alone: bool = False
    near: str = ""
    part: bool = False

    @property
    def user(self) -> str:
        return self.key[0]


@dataclass(frozen=True)
class Free:
    """A group that serves `model`: how many jobs it runs, how many it takes, whether it runs one that must be alone."""

    group: str
    model: str
    running: int
    slots: int
    closed: bool = False


def assign(waiting: Iterable[Waiting], groups: Sequence[Free], last_user: str = "") -> list[tuple[JobKey, str]]:
    """Jobs in the order they are handed out, each with its group.

    Users take turns, beginning with the one after `last_user`; within a user interactive jobs come before batch ones, whole
    ones before parts, then the oldest first. A job goes to the group that it is
    near to, if that has room, else to the least loaded one of its model. No free slot is left while a job waits for it.
    """
    load = {group.group: group.running for group in groups}
    closed = {group.group for group in groups if group.closed}
    chosen = []
    for job in _turns(waiting, last_user):
        places = [g for g in groups if g.model == job.model and g.group not in closed and load[g.group] < g.slots]
        if job.alone:
            empty = [g for g in places if load[g.group] == 0]
            if places and not empty:
                # One group takes nothing more until it is empty, so that the job's turn comes.
                closed.add(min(places, key=lambda g: (load[g.group], g.group)).group)
            places = empty
        if not places:
            continue
        best = min(places, key=lambda g: (g.group != job.near, load[g.group], g.group)).group
        load[best] += 1
        if job.alone:
            closed.add(best)
        chosen.append((job.key, best))
    return chosen


def order(waiting: Iterable[Waiting], last_user: str = "") -> list[JobKey]:
    """All waiting jobs in the order in which they would be handed out."""
    return [job.key for job in _turns(waiting, last_user)]


def _turns(waiting: Iterable[Waiting], last_user: str) -> Iterable[Waiting]:
    queues: dict[str, list[Waiting]] = {}
    for job in sorted(waiting, key=lambda j: (j.priority != "interactive", j.part, j.number), reverse=True):
        queues.setdefault(job.user, []).append(job)
    users = sorted(queues)
    turn = [u for u in users if u > last_user] + [u for u in users if u <= last_user]
    while turn:
        for user in turn:
            yield queues[user].pop()
        turn = [user for user in turn if queues[user]]
