"""A corpus as many requests, a few of them under way at a time: their results as they come, in order."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from .client.job import Job, Progress
from .client.waiting import ACKNOWLEDGE_SECONDS
from .program.language import Text
from .program.texts import guessed_tokens

_LOOK_SECONDS = 0.2
#: Nothing is shown of what takes no longer.
QUIET_SECONDS = 1.0
#: Requests that are asked for at once, for each group of workers.
_AHEAD = 2

K = TypeVar("K")


def ahead(groups: int) -> int:
    """How many requests to have under way, so that no group waits for another's."""
    return _AHEAD * max(1, groups)


def in_slices(texts: Iterable[Text], tokens: int) -> Iterator[tuple[int, tuple[Text, ...]]]:
    """Consecutive texts of about so many tokens, with the number of the first."""
    first, guessed = 0, 0
    taken: list[Text] = []
    for text in texts:
        taken.append(text)
        guessed += guessed_tokens(text)
        if guessed >= tokens:
            yield first, tuple(taken)
            first, taken, guessed = first + len(taken), [], 0
    if taken:
        yield first, tuple(taken)


def let_go(jobs: Sequence[Job[Any]], release: Callable[[str], None]) -> None:
    """Cancel those of the jobs that have not ended, and release all."""
    for job in jobs:
        job.cancel()
    for job in jobs:
        job.wait(ACKNOWLEDGE_SECONDS)
        release(job.id)


class Asked:
    """Jobs that were all asked for at once. Whatever interrupts the reading of their results, none is left behind."""

    def __init__(self, release: Callable[[str], None]) -> None:
        self._release = release
        self._jobs: list[Job[Any]] = []

    def add(self, job: Job[Any]) -> Job[Any]:
        """The job, which is let go of at the end."""
        self._jobs.append(job)
        return job

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        let_go(self._jobs, self._release)


class UnderWay(Generic[K]):
    """Jobs that were asked for and not taken yet, each with what it is of. Whatever interrupts their taking, none is left behind:
    those that have not ended are cancelled, and all are released. `tell` is called while one is waited for."""

    def __init__(self, release: Callable[[str], None], tell: Callable[[], None]) -> None:
        self._release, self._tell = release, tell
        self._jobs: deque[tuple[K, Job[Any]]] = deque()

    def add(self, of: K, job: Job[Any]) -> None:
        """One more, behind the others."""
        self._jobs.append((of, job))

    def take(self) -> tuple[K, Any]:
        """Wait for the first; its result. Raises what went wrong with it."""
        of, job = self._jobs[0]
        while not job.wait(_LOOK_SECONDS):
            self._tell()
        made = job.result()
        self._jobs.popleft()
        self._release(job.id)
        return of, made

    def __len__(self) -> int:
        return len(self._jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        let_go([job for _, job in self._jobs], self._release)


class Meter:
    """Shows how far a corpus is; what is left is reckoned from the texts that this run has had itself (`made`)."""

    def __init__(self, show: Callable[[Progress], Any] | None, total: int) -> None:
        """`total` texts in all, 0 when only reading them would tell."""
        self._show, self._total = show, total
        self._begun = time.monotonic()
        self.done = self.made = 0

    def tell(self) -> None:
        """Show it, if it takes long."""
        spent = time.monotonic() - self._begun
        if self._show is None or spent < QUIET_SECONDS:
            return
        left = spent / self.made * (self._total - self.done) if self.made and self._total else 0.0
        self._show(Progress("running", done=self.done, total=self._total, unit="texts", left=left))
