"""A job: something that was asked of a pool and will end."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, cast

from ..data import lens_run, results, view
from ..errors import Cancelled, RequestError, TimedOut
from ..wire.messages import Event

T = TypeVar("T")

State = str


@dataclass(frozen=True)
class Progress:
    """Where a job is: its state, how many wait before it and how many seconds are `left` (both estimates, 0 for none), how
    much of its work is done; `partial` is what is there of the result of a job of one text that streams."""

    state: State
    ahead: int = 0
    done: float = 0.0
    total: float = 0.0
    text: str = ""
    attempt: int = 0
    unit: str = "tokens"
    partial: Any = None
    left: float = 0.0

    def __str__(self) -> str:
        if self.state == "queued":
            return f"queued, {self.ahead} before it" if self.ahead else "queued"
        if not self.total and not self.done:
            return self.state
        whole = f" of {self.total:.0f}" if self.total else ""
        left = f", about {_duration(self.left)} left" if self.left else ""
        return f"{self.state}, {self.done:.0f}{whole} {self.unit}{left}"


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1.5:
        return f"{max(1, round(seconds))} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


class Control(Protocol):
    """What a job asks of the connection that it came by."""

    def cancel(self, job_id: str) -> None: ...

    def share(self, job_id: str, users: tuple[str, ...], groups: tuple[str, ...]) -> None: ...


class Job(Generic[T]):
    """`result()` waits; `await job` too; `async for part in job` gives the parts as they come; `cancel()` ends it."""

    def __init__(
        self, job_id: str, method: str, build: Callable[[list[Any]], T], pool: Control, state: State = "queued"
    ) -> None:
        self.id, self.method = job_id, method
        self._build, self._pool = build, pool
        self._changed = threading.Condition()
        self._progress = Progress(state)
        self._parts: list[Event] = []
        self._value: T | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._restarts = 0
        self._listeners: list[Callable[[], object]] = []

    @property
    def progress(self) -> Progress:
        """Where the job is now."""
        return self._progress

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._ended

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; whether it has. A keyboard interrupt leaves the job as it is."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._ended:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def result(self, timeout: float | None = None) -> T:
        """The result. Raises what went wrong, Cancelled, or TimedOut (the job runs on)."""
        if not self.wait(timeout):
            raise TimedOut(
                f"job {self.id} is {self._progress} after {timeout:g} s; it runs on, and cancel() would end it"
            )
        if self._error is not None:
            raise self._error
        return cast(T, self._value)

    def cancel(self, wait: float = 0.0) -> bool:
        """Ask the pool to end it; wait up to `wait` seconds for the acknowledgement. Whether it has ended."""
        if not self._ended:
            self._pool.cancel(self.id)
        return self.wait(wait) if wait else self._ended

    def share(self, *users: str, group: str | Sequence[str] = ()) -> None:
        """Let users, and the members of groups, see this job and fetch its result by its id. Raises RequestError."""
        groups = (group,) if isinstance(group, str) else tuple(group)
        if not users and not groups:
            raise RequestError("name users, or group=, to share a job with")
        self._pool.share(self.id, users, groups)

    def __await__(self) -> Generator[Any, None, T]:
        return self._as_future().__await__()

    async def __aiter__(self) -> AsyncIterator[Event]:
        seen, attempt, loop, changed = 0, self._restarts, asyncio.get_running_loop(), asyncio.Event()
        self._listen(partial(loop.call_soon_threadsafe, changed.set))
        while True:
            changed.clear()
            with self._changed:
                if attempt != self._restarts:
                    seen, attempt = 0, self._restarts
                parts, ended = self._parts[seen:], self._ended
            seen += len(parts)
            for part in parts:
                yield part
            if ended:
                if self._error is not None:
                    raise self._error
                return
            await changed.wait()

    def widget(self) -> Any:
        """A view that fills while a lens goes on, with its place in the queue and a button that ends it."""
        return view.widget(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return view.mimebundle(self)

    def __repr__(self) -> str:
        return f"<Job {self.id} ({self.method}): {self._progress}>"

    async def _as_future(self) -> T:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        self._listen(partial(loop.call_soon_threadsafe, changed.set))
        while not self._ended:
            changed.clear()
            if not self._ended:
                await changed.wait()
        return self.result()

    def _listen(self, listener: Callable[[], object]) -> None:
        with self._changed:
            self._listeners.append(listener)

    def take_event(self, event: Event, data: Any = None) -> None:
        """What the connection heard of it, perhaps with a part of its result."""
        if event.part == "restart":
            self._update(Progress("queued", attempt=event.attempt), None)
            with self._changed:
                self._parts.clear()
                self._restarts += 1
            return
        state = {"generated": "running", "started": "running", "progress": "running", "lens": "running"}.get(
            event.part, event.part
        )
        done, total, unit = event.done, event.total, "texts" if event.part == "progress" else "tokens"
        if self._progress.unit == "texts" and event.part != "progress":
            # How far a job of many texts is, is not told by one of them.
            done, total, unit = self._progress.done, self._progress.total, "texts"
        partial = self._progress.partial
        if event.part == "lens" and data is not None:
            done, total = self._progress.done, self._progress.total
            partial = _joined(partial, data, event.row)
        text = event.text or self._progress.text
        self._update(Progress(state, event.ahead, done, total, text, event.attempt, unit, partial), event)

    def take_place(self, ahead: int) -> None:
        """It is queued, with so many before it."""
        if self._progress.state == "queued":
            self._update(Progress("queued", ahead), None)

    def take_result(self, data: list[Any]) -> None:
        """Its result has come, in as many parts as it was run in."""
        try:
            self._end(self._build(data), None)
        except Exception as error:
            self._end(None, error)

    def take_error(self, error: BaseException) -> None:
        """It has failed."""
        self._end(None, error)

    def _update(self, progress: Progress, part: Event | None) -> None:
        with self._changed:
            if self._ended:
                return
            self._progress = progress
            if part is not None:
                self._parts.append(part)
            self._wake()

    def _end(self, value: T | None, error: BaseException | None) -> None:
        with self._changed:
            if self._ended:
                return
            self._value, self._error, self._ended = value, error, True
            state = "done" if error is None else "cancelled" if isinstance(error, Cancelled) else "failed"
            self._progress = Progress(state, attempt=self._progress.attempt)
            self._wake()

    def _wake(self) -> None:
        self._changed.notify_all()
        for listener in list(self._listeners):
            try:
                listener()
            except RuntimeError:
                self._listeners.remove(listener)


def _joined(before: Any, data: Any, row: int) -> Any:
    """A run as far as it is there, with what has come of it now. Of several texts the first is shown as it grows."""
    if row:
        return before
    (piece,) = results.decode(data)
    return piece if before is None else lens_run.extended(before, piece)
