"""Every error a user meets: what happened, where, and what to do next."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TypeVar

_T = TypeVar("_T")


class InterpError(Exception):
    """Base of all errors of this package."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the fault in one line, without frames that are not the user's."""
        return [f"{type(self).__name__}: {self}"]


class RequestError(InterpError, ValueError):
    """The request itself is wrong; nothing was queued or run."""


class PoolUnavailable(InterpError, ConnectionError):
    """No pool answers, or the embedded pool could not start."""


class Cancelled(InterpError):
    """The job was cancelled before it finished."""


class TimedOut(InterpError, TimeoutError):
    """The job did not finish in the time that the caller gave it; it runs on."""


class RemoteError(InterpError, RuntimeError):
    """A fault on a worker or the broker.

    `code` is a stable word (`out_of_memory`, `worker_lost` …), `job` the job's id, `worker` the group that ran it.
    """

    def __init__(self, message: str, code: str = "internal", job: str = "", worker: str = "") -> None:
        super().__init__(message)
        self.code, self.job, self.worker = code, job, worker

    def __str__(self) -> str:
        where = ", ".join(
            part for part in (self.job and f"job {self.job}", self.worker and f"on {self.worker}") if part
        )
        return f"{self.args[0]} ({where})" if where else str(self.args[0])


def nearest(name: object, known: Iterable[object]) -> str:
    """A clause that names the valid choices nearest to `name`: "; did you mean 'resid_mid'?", or all when they are few."""
    names = [str(k) for k in known]
    close = get_close_matches(str(name), names, n=3, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(repr(c) for c in close) + "?"
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"; there is {shown}"


def one_of(what: str, given: object, known: Sequence[_T]) -> _T:
    """The one of `known` that was given. Raises RequestError, naming what it is a choice of and the nearest ones."""
    if not isinstance(given, str) or given not in known:
        raise RequestError(f"unknown {what} {given!r}{nearest(given, known)}")
    return known[known.index(given)]
