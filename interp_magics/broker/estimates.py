"""Where jobs are, as those see it who may: their place in the queue and how long they wait are estimates."""

from collections import Counter

from ..wire.standing import JobInfo
from .book import Book
from .jobs import Job, Place
from .schedule import JobKey

#: For how many seconds an estimate of places in the queue is good.
_LAST = 0.5


class Estimates:
    """Of the jobs in a book."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._places: dict[JobKey, Place] = {}
        self._made = float("-inf")

    def places(self, now: float) -> dict[JobKey, Place]:
        """Where waiting jobs are, if all takes what is predicted."""
        if now - self._made < _LAST:
            return self._places
        before: dict[str, float] = {}
        ahead: Counter[str] = Counter()
        self._places, self._made = {}, now
        for job in self._book.order(now):
            work = before.get(job.model, 0.0)
            self._places[job.key] = Place(ahead[job.model], work / max(1, self._book.ups(job.model)))
            before[job.model] = work + job.cost
            ahead[job.model] += 1
        return self._places

    def info(self, job: Job, now: float) -> JobInfo:
        """A job in words."""
        places, parts = self.places(now), self._book.parts(job)
        waits = [places[key] for key in job.parts or (job.key,) if key in places]
        first = min(waits, key=lambda place: place.ahead, default=self._last(job))
        return JobInfo(
            job=job.key[1],
            user=job.key[0],
            priority="batch" if job.priority == "batch" else "interactive",
            submitted=round(now - job.submitted, 3),
            done=sum(part.texts for part in parts if part.state == "done"),
            texts=job.texts,
            shared=tuple(sorted(job.shared)),
            model=job.model,
            method=job.method,
            state=job.state,
            ahead=first.ahead,
            wait=round(first.wait, 3),
            attempt=job.attempt,
            worker=", ".join(sorted({part.group for part in parts if part.group})) or job.group,
            seconds=job.seconds,
            why=job.why,
        )

    def _last(self, job: Job) -> Place:
        """The place of a job of which the schedule knows nothing yet: behind all that waits."""
        if job.state != "queued":
            return Place(0, 0.0)
        line, ups = self._book.line, max(1, self._book.ups(job.model))
        return Place(line.on(job.model) - len(job.parts), line.work(job.model) / ups)
