"""Parts of sliced jobs on their way to the schedule: as many as keep the groups busy, so that others find room."""

from collections import Counter
from collections.abc import Callable, Mapping

from .jobs import Job
from .schedule import JobKey

#: How many parts of one user's jobs run at once, for each group that holds their model: one that runs and one that waits there.
PARTS_AT_ONCE = 2


class Feeding:
    """For each user and model: jobs with parts that the schedule does not know yet, and how many parts it does."""

    def __init__(self, jobs: Mapping[JobKey, Job], schedule: Callable[[Job], None]) -> None:
        self._jobs, self._schedule = jobs, schedule
        self._unfed: dict[tuple[str, str], dict[JobKey, Job]] = {}
        self._open: Counter[tuple[str, str]] = Counter()

    def feed(self, whole: Job, ups: int) -> None:
        """Put more parts of a user's jobs to the schedule; `ups` groups serve the model."""
        place = _place(whole)
        waiting = self._unfed.setdefault(place, {})
        if whole.fed < len(whole.parts) and not whole.ended_state:
            waiting[whole.key] = whole
        while waiting and self._open[place] < PARTS_AT_ONCE * ups:
            first = next(iter(waiting.values()))
            part = self._jobs[first.parts[first.fed]]
            first.fed += 1
            if part.state == "queued":
                self.fed(part)
                self._schedule(part)
            if first.fed == len(first.parts):
                del waiting[first.key]
        if not waiting:
            del self._unfed[place]
        if not self._open[place]:
            del self._open[place]

    def fed(self, part: Job) -> None:
        """The schedule knows a part."""
        part.fed = 1
        self._open[_place(part)] += 1

    def ended(self, job: Job) -> None:
        """A job or a part of one is over, or is given up."""
        if job.parent and job.fed:
            self._open[_place(job)] -= 1
        if job.parts:
            self._unfed.get(_place(job), {}).pop(job.key, None)


def _place(job: Job) -> tuple[str, str]:
    return job.key[0], job.model
