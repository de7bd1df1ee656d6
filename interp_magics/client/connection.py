"""What is said to a pool and what comes of it: jobs that other threads wait for."""

import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from msgspec import structs

from ..errors import Cancelled, InterpError, PoolUnavailable, RemoteError, RequestError
from ..methods.requests import Request
from ..wire.frames import MAX_CLIENT_HEADER, Reader, WireError, write, write_bytes
from ..wire.keys import Address
from ..wire.messages import (
    MAJOR,
    MINOR,
    Accepted,
    CancelJob,
    Chunk,
    Credit,
    Done,
    Event,
    Failure,
    Fetch,
    Follow,
    FromClient,
    Hello,
    PoolState,
    Put,
    Release,
    Stat,
    Submit,
    Ticket,
    ToClient,
    Welcome,
)
from ..wire.standing import Priority
from .channel import Channel, Listener
from .door import mapped
from .job import Job

_TICK = 0.25
_PING_SECONDS = 3.0
_SILENCE_SECONDS = 20.0


@dataclass
class _Tracked:
    """A job of this connection: how to submit it again, what has come of its result (whole `parts`, and `data` of the next),
    and the port where more is asked for."""

    job: Job[Any]
    submit: Submit | None
    objects: Mapping[str, bytes]
    heard: float = field(default_factory=time.monotonic)
    size: int = 0
    got: int = 0
    data: bytearray = field(default_factory=bytearray)
    bulk: int = 0
    count: int = 1
    parts: list[Any] = field(default_factory=list)


@dataclass
class _Asked:
    """A question about the pool's state, and its answer."""

    event: threading.Event = field(default_factory=threading.Event)
    state: PoolState | None = None


class Connection:
    """Submits, cancels, fetches and asks. Thread-safe; every method but the waiting ones returns at once."""

    def __init__(self, address: Address, alive: Callable[[], str | None] = lambda: None) -> None:
        """`alive` says why the pool is known to be gone, or None."""
        self._address, self._alive = address, alive
        self._tracked: dict[str, _Tracked] = {}
        self._asked: dict[int, _Asked] = {}
        self._lock = threading.Lock()
        self._numbers = 0
        self._pools_reader = Reader(FromClient)
        self._closed = False
        self._welcomed = threading.Event()
        self._refused: InterpError | None = None
        self._gone = ""
        self.welcome: Welcome | None = None
        listener = Listener(self._take, self._garbled, self._check, self._failed, self._ended, _PING_SECONDS)
        self._channel = Channel(address, listener)
        self._channel.start()

    @property
    def endpoint(self) -> str:
        """Where the pool is."""
        return self._address.endpoint

    def connect(self, timeout: float = 10.0) -> Welcome:
        """Wait for the pool's greeting. Raises PoolUnavailable with what to try."""
        deadline = time.monotonic() + timeout
        while not self._welcomed.wait(0.1):
            trouble = self._gone or self._alive()
            if trouble or time.monotonic() > deadline:
                raise PoolUnavailable(
                    trouble
                    or f"no pool answers at {self._address.endpoint} within {timeout:g} s: is it running, and is the key right?"
                )
        if self._refused:
            raise self._refused
        assert self.welcome is not None
        return self.welcome

    def submit(
        self,
        model: str,
        request: Request,
        method: str,
        build: Callable[[list[Any]], Any],
        objects: Mapping[str, bytes],
        priority: Priority = "interactive",
    ) -> Job[Any]:
        """Queue a request; objects that the pool lacks are put first."""
        job: Job[Any] = Job(secrets.token_hex(10), method, build, self.cancel)
        message = Submit(job=job.id, model=model, request=request, priority=priority)
        frames = self._checked(message)
        if len(frames[1]) > MAX_CLIENT_HEADER:
            raise RequestError(
                f"the request has {len(frames[1]) / 1e6:.1f} MB, more than a message holds; send fewer texts at a time"
            )
        limit = self.welcome.limits.message_bytes if self.welcome else MAX_CLIENT_HEADER
        for data in objects.values():
            if len(data) > limit - MAX_CLIENT_HEADER:
                raise RequestError(f"an object of {len(data) / 1e6:.0f} MB is larger than this pool takes")
        with self._lock:
            if self._gone:
                raise PoolUnavailable(self._gone)
            self._tracked[job.id] = _Tracked(job, message, dict(objects))
        self._channel.send(frames)
        return job

    def _checked(self, message: Submit) -> list[Any]:
        """The frames of a message that the pool will understand: a wrong type is found here, not there."""
        try:
            frames = write(message)
            self._pools_reader.read(frames)
        except (TypeError, WireError) as error:
            raise RequestError(f"the request does not hold what it should: {error}") from None
        return frames

    def follow(self, job_id: str, method: str, build: Callable[[list[Any]], Any]) -> Job[Any]:
        """A job that was submitted before, perhaps by another kernel; the same Job if this connection has it already."""
        known = self._tracked.get(job_id)
        if known:
            return known.job
        job: Job[Any] = Job(job_id, method, build, self.cancel)
        with self._lock:
            self._tracked[job_id] = _Tracked(job, None, {})
        self._send(Follow(job=job_id))
        return job

    def cancel(self, job_id: str) -> None:
        self._send(CancelJob(job=job_id))

    def release(self, job_id: str) -> None:
        """Let the pool forget a job that has ended, and its result."""
        self._send(Release(job=job_id))

    def state(self, timeout: float = 10.0) -> PoolState:
        """The pool's state. Raises PoolUnavailable when it does not answer."""
        asked = _Asked()
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._asked[number] = asked
        self._send(Stat(number=number))
        deadline = time.monotonic() + timeout
        while not asked.event.wait(0.1):
            if self._gone or time.monotonic() > deadline:
                raise PoolUnavailable(self._gone or f"the pool at {self._address.endpoint} does not answer")
        assert asked.state is not None
        return asked.state

    def close(self) -> None:
        """End the thread and the socket; jobs that still wait fail."""
        self._closed = True
        self._channel.close()

    def _check(self) -> None:
        trouble = self._alive()
        if trouble:
            self._fail_all(trouble)
        elif self._tracked:
            self._send(Stat())
            if time.monotonic() - self._channel.heard_at > _SILENCE_SECONDS:
                self._fail_all(f"the pool at {self._address.endpoint} has said nothing for {_SILENCE_SECONDS:.0f} s")

    def _garbled(self, error: WireError) -> None:
        self._fail_all(f"the pool sent what this version does not understand ({error}); upgrade one of them")

    def _send(self, message: Any, bulk: int = 0) -> None:
        self._channel.send(write(message), bulk)

    def _take(self, message: ToClient, buffers: list[Any]) -> None:
        if isinstance(message, Welcome):
            self.welcome = message
            self._welcomed.set()
        elif isinstance(message, PoolState):
            self._take_state(message)
        elif isinstance(message, Failure) and not message.job:
            self._take_failure(message)
        else:
            tracked = self._tracked.get(message.job)
            if tracked:
                tracked.heard = time.monotonic()
                self._take_of_job(tracked, message, buffers)

    def _take_of_job(self, tracked: _Tracked, message: Any, buffers: list[Any]) -> None:
        if isinstance(message, Event):
            tracked.job.take_event(message, buffers[0] if buffers else None)
        elif isinstance(message, Accepted):
            tracked.job.take_place(message.ahead)
        elif isinstance(message, Done):
            self._take_done(tracked, message, buffers)
        elif isinstance(message, Chunk):
            self._take_chunk(tracked, message, buffers[0])
        elif isinstance(message, Ticket):
            self._take_ticket(tracked, message)
        elif isinstance(message, Failure) and message.code == "missing" and tracked.submit and message.missing:
            self._put(tracked, message)
        elif isinstance(message, Failure):
            self._end(tracked, error=to_error(message))

    def _take_state(self, state: PoolState) -> None:
        asked = self._asked.pop(state.number, None)
        if asked:
            asked.state = state
            asked.event.set()
        if self.welcome and state.epoch != self.welcome.epoch:
            self._greet_again(state.epoch)
        self._look_after(state)

    def _greet_again(self, epoch: str) -> None:
        """The broker was started again: it has the jobs, but does not know that this connection follows them."""
        assert self.welcome is not None
        self.welcome = structs.replace(self.welcome, epoch=epoch)
        self._send(Hello(major=MAJOR, minor=MINOR))
        for job_id, tracked in list(self._tracked.items()):
            self._send(tracked.submit or Follow(job=job_id))

    def _look_after(self, state: PoolState) -> None:
        """Ask again for what a broken link may have lost: the end of a job, a chunk of a result, a job never heard of."""
        ended = {info.job for info in state.jobs if info.state in ("done", "failed", "cancelled")}
        listed = {info.job for info in state.jobs}
        now = time.monotonic()
        for job_id, tracked in list(self._tracked.items()):
            if now - tracked.heard < _PING_SECONDS:
                continue
            if tracked.size:
                # The bulk endpoint may be out of reach: the rest comes on this one.
                tracked.bulk = 0
                self._send(Fetch(job=job_id, part=len(tracked.parts), offset=tracked.got))
            elif job_id in ended:
                self._send(Follow(job=job_id))
            elif job_id not in listed and tracked.submit is not None:
                self._send(tracked.submit)

    def _take_failure(self, failure: Failure) -> None:
        if failure.code == "version":
            self._refused = PoolUnavailable(failure.message)
            self._welcomed.set()
        elif failure.digest:
            error = to_error(failure)
            for tracked in [t for t in self._tracked.values() if failure.digest in t.objects]:
                self._end(tracked, error=error)
        elif failure.code == "protocol":
            self._fail_all(failure.message)

    def _take_done(self, tracked: _Tracked, done: Done, buffers: list[Any]) -> None:
        if buffers:
            self._end(tracked, data=buffers)
            return
        if not tracked.size:
            tracked.size, tracked.count = max(1, done.size), done.parts
            self._fetch(tracked)

    def _fetch(self, tracked: _Tracked) -> None:
        """Ask for the next part of the result; on the pool's host for its file."""
        tracked.got, tracked.data = 0, bytearray()
        if self.welcome and self.welcome.door and os.access(self.welcome.door, os.W_OK):
            self._send(Fetch(job=tracked.job.id, part=len(tracked.parts), local=True))
        else:
            self._fetch_chunks(tracked)

    def _take_ticket(self, tracked: _Tracked, ticket: Ticket) -> None:
        assert self.welcome is not None
        if ticket.part != len(tracked.parts):
            return
        data = mapped(self.welcome.door, ticket.secret, ticket.size)
        if data is None:
            self._fetch_chunks(tracked)
        else:
            self._take_part(tracked, data)

    def _fetch_chunks(self, tracked: _Tracked) -> None:
        tracked.bulk = self.welcome.bulk if self.welcome else 0
        self._send(Fetch(job=tracked.job.id, part=len(tracked.parts)), tracked.bulk)

    def _take_chunk(self, tracked: _Tracked, chunk: Chunk, data: Any) -> None:
        if chunk.part != len(tracked.parts) or chunk.offset != tracked.got or chunk.offset + len(data) > chunk.size:
            return
        if not tracked.data:
            tracked.data = bytearray(chunk.size)
        tracked.data[chunk.offset : chunk.offset + len(data)] = data
        tracked.got += len(data)
        if tracked.got == chunk.size:
            self._take_part(tracked, tracked.data)
            return
        self._send(Credit(job=tracked.job.id, part=chunk.part, chunks=1), tracked.bulk)

    def _take_part(self, tracked: _Tracked, data: Any) -> None:
        tracked.parts.append(data)
        if len(tracked.parts) == tracked.count:
            self._end(tracked, data=tracked.parts)
        else:
            self._fetch(tracked)

    def _put(self, tracked: _Tracked, failure: Failure) -> None:
        unknown = [digest for digest in failure.missing if digest not in tracked.objects]
        if unknown:
            self._end(
                tracked, error=RequestError(f"the pool has no object {unknown[0]}, and this request does not bring it")
            )
            return
        for digest in failure.missing:
            self._channel.send(write_bytes(Put(digest=digest), tracked.objects[digest]))
        self._send(tracked.submit)

    def _end(self, tracked: _Tracked, data: list[Any] | None = None, error: BaseException | None = None) -> None:
        with self._lock:
            self._tracked.pop(tracked.job.id, None)
        if error is not None:
            tracked.job.take_error(error)
        else:
            tracked.job.take_result(data or [])

    def _failed(self, error: Exception) -> None:
        self._fail_all(f"this client could not handle what the pool sent: {type(error).__name__}: {error}")

    def _ended(self) -> None:
        self._closed = True
        self._fail_all("the connection to the pool was closed")

    def _fail_all(self, why: str) -> None:
        with self._lock:
            waiting = list(self._tracked.values())
            self._tracked.clear()
            if self._closed or self._alive():
                self._gone = why
        for tracked in waiting:
            tracked.job.take_error(PoolUnavailable(why))


def digest(data: bytes) -> str:
    """The name of an object."""
    return sha256(data).hexdigest()


def to_error(failure: Failure) -> InterpError:
    """The exception that a failure stands for."""
    if failure.code in ("bad_request", "unknown_job", "quota"):
        return RequestError(failure.message)
    if failure.code == "cancelled":
        return Cancelled(f"job {failure.job} was cancelled")
    return RemoteError(failure.message, failure.code, failure.job, failure.worker)
