"""Waiting for a job: quiet at first, then with progress; an interrupt cancels it on the pool."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import TimedOut
from .job import Job, Progress

T = TypeVar("T")

#: Seconds that an interrupted call waits for the pool to acknowledge the cancellation.
ACKNOWLEDGE_SECONDS = 2.0


def wait(
    job: Job[T],
    timeout: float | None = None,
    show: Callable[[Progress], Any] | None = None,
    after: float = 1.0,
    every: float = 0.2,
) -> T:
    """The job's result. After `after` seconds `show` is called again and again with where the job is.

    A keyboard interrupt cancels the job remotely, waits at most 2 s for the acknowledgement (a second interrupt does not),
    says so in one line with the job's id, and is raised again.
    """
    try:
        if show is None:
            return job.result(timeout)
        waited = after
        ended = job.wait(after if timeout is None else min(after, timeout))
        while not ended:
            show(job.progress)
            if timeout is not None and waited >= timeout:
                raise TimedOut(
                    f"job {job.id} is {job.progress} after {timeout:g} s; it runs on, and cancel() would end it"
                )
            ended = job.wait(every)
            waited += every
        return job.result(0)
    except KeyboardInterrupt:
        _cancel(job)
        raise


def _cancel(job: Job[Any]) -> None:
    try:
        ended = job.cancel(ACKNOWLEDGE_SECONDS)
        said = "cancelled" if ended else "asked to stop; the pool has not acknowledged yet"
    except KeyboardInterrupt:
        said = "asked to stop"
    print(f"job {job.id}: {said}", file=sys.stderr)
