"""Jobs that wait, counted by user and by model."""

from collections import Counter
from collections.abc import Iterator

from .jobs import Job
from .schedule import JobKey


class Line:
    """Jobs by their keys; counts cost nothing."""

    def __init__(self) -> None:
        self._jobs: dict[JobKey, Job] = {}
        self._users: Counter[str] = Counter()
        self._models: Counter[str] = Counter()
        self._work: dict[str, float] = {}
        self._bytes: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def add(self, job: Job) -> None:
        if job.key not in self._jobs:
            self._count(job, 1)
        self._jobs[job.key] = job

    def take(self, key: JobKey) -> Job | None:
        """The job, which waits no more; None if it did not."""
        job = self._jobs.pop(key, None)
        if job:
            self._count(job, -1)
        return job

    def of(self, user: str) -> int:
        """How many of a user's wait."""
        return self._users[user]

    def on(self, model: str) -> int:
        """How many wait for a model."""
        return self._models[model]

    def bytes_of(self, user: str) -> int:
        """Bytes of a user's requests that wait."""
        return self._bytes[user]

    def work(self, model: str) -> float:
        """Predicted seconds of a group that wait for a model."""
        return self._work.get(model, 0.0)

    def _count(self, job: Job, by: int) -> None:
        for counter, name in ((self._users, job.key[0]), (self._models, job.model)):
            counter[name] += by
            if not counter[name]:
                del counter[name]
        self._bytes[job.key[0]] += by * job.size
        if job.key[0] not in self._users:
            del self._bytes[job.key[0]]
        self._work[job.model] = self._work.get(job.model, 0.0) + by * job.cost
        if job.model not in self._models:
            del self._work[job.model]
