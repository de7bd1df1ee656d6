"""What a worker tells of an attempt: that it has begun, its result, or its fault."""

import logging
from collections.abc import Sequence
from pathlib import Path

from ..engine.memory import out_of_memory
from ..errors import Cancelled, RequestError
from ..wire.messages import Assign, Attempt, Done, Failed, Started
from .holdings import Holdings
from .link import Link, ObjectMissing
from .trainings import TrainingLost

log = logging.getLogger(__name__)


class SpoolFull(Exception):
    """A result cannot be written where the pool keeps them."""


def tell_started(link: Link, assigned: Sequence[Assign]) -> None:
    """These are in one batch now."""
    link.send(Started(jobs=tuple(Attempt(assign.job, assign.attempt) for assign in assigned)))


def tell_result(link: Link, holdings: Holdings, assign: Assign, data: bytes) -> None:
    """Send a result, or leave it in the spool when it is large. Raises SpoolFull."""
    if len(data) <= holdings.limits.inline_bytes:
        link.send(Done(job=assign.job, attempt=assign.attempt, size=len(data)), data)
        return
    write_whole(holdings.spool / assign.spool, data)
    link.send(Done(job=assign.job, attempt=assign.attempt, size=len(data), spooled=assign.spool))


def tell_failure(link: Link, assign: Assign, error: Exception) -> None:
    """Send how an attempt failed."""
    code, message = describe(error)
    if code == "internal":
        log.error("job %s failed", assign.job, exc_info=error)
    link.send(Failed(job=assign.job, attempt=assign.attempt, code=code, message=message))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, or nothing. Raises SpoolFull."""
    try:
        path.write_bytes(data)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise SpoolFull(f"the pool's spool cannot take {len(data) / 1e6:.0f} MB ({error.strerror})") from error


def describe(error: Exception) -> tuple[str, str]:
    """(stable code, message for the user) of a fault."""
    if isinstance(error, RequestError):
        return "bad_request", str(error)
    if isinstance(error, Cancelled):
        return "cancelled", str(error)
    if isinstance(error, ObjectMissing):
        return "missing", "an object of the job expired before it ran; submit it again"
    if isinstance(error, TrainingLost):
        return "lost", "the worker no longer holds this training; go on from its last checkpoint"
    if isinstance(error, SpoolFull):
        return "storage", f"{error}; tell its administrator, or capture less"
    if out_of_memory(error):
        return "out_of_memory", "the model's device ran out of memory, alone too; use fewer tokens, layers or rows"
    return "internal", f"{type(error).__name__}: {error}"
