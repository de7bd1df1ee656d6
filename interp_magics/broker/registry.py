"""The jobs that a pool knows: whose they are, which wait, which have ended, what has changed since it was written down."""

from collections import deque
from collections.abc import Iterator

from .jobs import Changes, Job
from .line import Line
from .schedule import JobKey


class Registry:
    """Jobs by their keys, (user, id); parts of a job have keys of their own."""

    def __init__(self) -> None:
        self.jobs: dict[JobKey, Job] = {}
        self.line = Line()
        self._users: dict[str, dict[JobKey, Job]] = {}
        self._ends: deque[JobKey] = deque()
        self._changes = Changes()

    def put(self, job: Job, fresh: bool = False) -> None:
        """A job is known from now on; a `fresh` one is nowhere written down."""
        self.jobs[job.key] = job
        if fresh:
            self._changes.fresh[job.number] = job
        if "/" not in job.key[1]:
            self._users.setdefault(job.key[0], {})[job.key] = job

    def drop(self, job: Job) -> None:
        """A job is known no longer."""
        self.jobs.pop(job.key, None)
        mine = self._users.get(job.key[0], {})
        if mine.pop(job.key, None) and not mine:
            del self._users[job.key[0]]
        if not self._changes.fresh.pop(job.number, None):
            self._changes.changed.pop(job.number, None)
            self._changes.gone.add(job.number)

    def note(self, job: Job) -> None:
        """A job has changed."""
        if job.number not in self._changes.fresh:
            self._changes.changed[job.number] = job

    def note_end(self, job: Job) -> None:
        """A job has ended."""
        self.note(job)
        if not job.parent:
            self._changes.ended.append(job)
            self._ends.append(job.key)

    def order_ends(self) -> None:
        """Look at all jobs for those that have ended, once they were put."""
        over = [job for job in self.jobs.values() if job.ended_state and not job.parent]
        self._ends = deque(job.key for job in sorted(over, key=lambda job: job.ended))

    def changes(self) -> Changes:
        """What has changed since this was last asked."""
        taken, self._changes = self._changes, Changes()
        return taken

    def whole(self, job: Job) -> Job:
        """The job that its user knows: the one that this is a part of, or itself."""
        return self.jobs[job.parent] if job.parent else job

    def parts(self, job: Job) -> list[Job]:
        return [self.jobs[key] for key in job.parts]

    def over(self, job: Job) -> bool:
        """Whether a job has ended with all its parts."""
        return job.ended_state and all(part.ended_state for part in self.parts(job))

    def of_user(self, user: str) -> Iterator[Job]:
        """Whole jobs, the newest first."""
        return reversed(self._users.get(user, {}).values())

    def count_of(self, user: str) -> int:
        """How many whole jobs of a user are known, ended ones too."""
        return len(self._users.get(user, ()))

    def oldest_ended(self, user: str) -> Job | None:
        """The job of a user that was submitted first, of those that are over."""
        return next((job for job in self._users.get(user, {}).values() if self.over(job)), None)

    def ended(self, before: float) -> Iterator[Job]:
        """Whole jobs that ended before a time, with all their parts; they are to be forgotten."""
        late = []
        while self._ends:
            job = self.jobs.get(self._ends[0])
            if job is not None and job.ended >= before:
                break
            key = self._ends.popleft()
            if job is not None and self.over(job):
                yield job
            elif job is not None:
                late.append(key)
        self._ends.extendleft(reversed(late))

    def queued_of(self, user: str) -> int:
        """How many jobs of a user wait, each part of one that is run in slices counted."""
        return self.line.of(user)

    def bytes_of(self, user: str) -> int:
        """Bytes of a user's requests that wait."""
        return self.line.bytes_of(user)

    def queued_for(self, model: str) -> int:
        """How many jobs and parts wait for a model."""
        return self.line.on(model)

    def waiting_for(self, model: str) -> list[Job]:
        return [job for job in self.line if job.model == model]

    @property
    def queued(self) -> int:
        return len(self.line)
