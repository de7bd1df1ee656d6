"""What is said to a pool and what comes of it: jobs that other threads wait for."""

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from msgspec import structs

from ..errors import Cancelled, InterpError, PoolUnavailable, RemoteError, RequestError
from ..methods.requests import Request
from ..wire.fields import LONGEST_ID
from ..wire.frames import MAX_CLIENT_HEADER, Reader, WireError, write, write_bytes
from ..wire.keys import Address
from ..wire.messages import (
    MAJOR,
    MINOR,
    Accepted,
    Action,
    CancelJob,
    Chunk,
    Done,
    Drop,
    Event,
    Extract,
    Failure,
    Follow,
    FromClient,
    Hello,
    Manage,
    PoolState,
    Put,
    Read,
    Release,
    Share,
    Stat,
    Submit,
    Ticket,
    ToClient,
    Welcome,
)
from ..wire.standing import JobState, Priority
from .channel import Channel, Listener
from .job import Job
from .questions import Questions
from .receiving import Receiving, Tracked

log = logging.getLogger(__name__)

_PING_SECONDS = 3.0
#: How long is waited for a piece of a corpus, and after how long it is asked for again.
_READ_SECONDS, _READ_AGAIN = 60.0, 15.0
_SILENCE_SECONDS = 20.0


class Connection:
    """Submits, cancels, fetches and asks. Thread-safe; every method but the waiting ones returns at once."""

    def __init__(
        self,
        address: Address,
        alive: Callable[[], str | None] = lambda: None,
        enter: Callable[[], object] | None = None,
        seconds: float = math.inf,
    ) -> None:
        """`alive` says why the pool is known to be gone, or None. A key that is let in for `seconds` only is let in again by
        `enter`."""
        self._address, self._alive, self._enter, self._seconds = address, alive, enter, seconds
        self._entered, self._entering = time.monotonic(), threading.Lock()
        self._tracked: dict[str, Tracked] = {}
        self._lock = threading.Lock()
        self._questions = Questions(lambda: self._gone)
        self._receiving = Receiving(self._send, self._take_whole, lambda: self.welcome)
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
    def closed(self) -> bool:
        """Whether it was ended, or the pool is gone."""
        return self._closed or bool(self._gone)

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
                    or f"no pool answers at {self._address.endpoint} within {timeout:g} s: is it "
                    "running, is its name right, is the key, and was that not revoked?"
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
        job: Job[Any] = Job(secrets.token_hex(10), method, build, self)
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
            self._tracked[job.id] = Tracked(job, message, dict(objects))
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

    def follow(
        self, job_id: str, method: str, build: Callable[[list[Any]], Any], state: JobState = "queued"
    ) -> Job[Any]:
        """A job that was submitted before, perhaps by another kernel, and is known to be in `state`; the same Job if this
        connection has it already."""
        known = self._tracked.get(job_id)
        if known:
            return known.job
        job: Job[Any] = Job(job_id, method, build, self, state)
        with self._lock:
            self._tracked[job_id] = Tracked(job, None, {})
        self._send(Follow(job=job_id))
        return job

    def cancel(self, job_id: str) -> None:
        """Ask for the end of a job; asked again as long as the pool may not have heard it."""
        with self._lock:
            tracked = self._tracked.get(job_id)
            if tracked:
                tracked.cancelling = True
            self._send(CancelJob(job=job_id))

    def release(self, job_id: str) -> None:
        """Let the pool forget a job that has ended, and its result."""
        self._send(Release(job=job_id))

    def drop(self, digest: str) -> None:
        """Let the pool keep an object no longer; one of an older version keeps it until its time is over."""
        if self.welcome and "drop" in self.welcome.capabilities:
            self._send(Drop(digest=digest))

    def state(self, timeout: float = 10.0, job_id: str = "") -> PoolState:
        """The pool's state, with the newest jobs and the one of that id. Raises PoolUnavailable when it does not answer."""
        older = job_id if self.welcome and "older" in self.welcome.capabilities and len(job_id) <= LONGEST_ID else ""
        state = self._ask(lambda number: Stat(number=number, job=older), timeout, _PING_SECONDS)
        assert isinstance(state, PoolState)
        return state

    def read(self, corpus: str, file: int, offset: int) -> tuple[Extract, bytes]:
        """A piece of a corpus of the pool, asked for again while it does not come. Raises RequestError where there is none."""
        self._need("read")
        piece: tuple[Extract, bytes] = self._ask(
            lambda number: Read(number=number, corpus=corpus, file=file, offset=offset), _READ_SECONDS, _READ_AGAIN
        )
        return piece

    def share(self, job_id: str, users: tuple[str, ...], groups: tuple[str, ...]) -> None:
        """Let others see a job. Raises RequestError when it is not this user's."""
        self._need("share")
        self._ask(lambda number: Share(number=number, job=job_id, users=users, groups=groups), again=_PING_SECONDS)

    def manage(self, action: Action, target: str = "") -> None:
        """Do what an administrator may. Raises RequestError when this user may not, or there is no such target."""
        self._need("manage")
        self._ask(lambda number: Manage(number=number, action=action, target=target))

    def _need(self, capability: str) -> None:
        if self.welcome and capability not in self.welcome.capabilities:
            raise RequestError(f"the pool is of an older version that cannot {capability!r}: upgrade the pool")

    def _ask(self, message: Callable[[int], Any], timeout: float = 10.0, again: float = math.inf) -> Any:
        """The answer to a question. Raises what the pool says is wrong with it."""
        unanswered = f"the pool at {self._address.endpoint} does not answer"
        answer = self._questions.ask(lambda number: self._send(message(number)), timeout, unanswered, again)
        if isinstance(answer, Failure):
            raise to_error(answer)
        return answer

    def close(self) -> None:
        """End the thread and the socket; jobs that still wait fail."""
        self._closed = True
        self._channel.close()

    def _check(self) -> None:
        trouble = self._alive()
        if time.monotonic() - self._entered > self._seconds / 2:
            self._enter_again()
        if trouble:
            self._fail_all(trouble)
        elif self._tracked:
            self._send(Stat())
            if time.monotonic() - self._channel.heard_at > _SILENCE_SECONDS:
                self._fail_all(f"the pool at {self._address.endpoint} has said nothing for {_SILENCE_SECONDS:.0f} s")

    def _garbled(self, error: WireError) -> None:
        self._fail_all(f"the pool sent what this version does not understand ({error}); upgrade one of them")

    def _enter_again(self) -> None:
        """Have the key let in again, away from this thread; then greet, as what was said meanwhile was not heard."""
        if self._enter is not None and self._entering.acquire(blocking=False):
            threading.Thread(target=self._entering_again, name="interp-magics-enter", daemon=True).start()

    def _entering_again(self) -> None:
        try:
            if self._enter is not None:
                self._enter()
            self._entered = time.monotonic()
            self._greet()
        except InterpError as error:
            log.warning("%s", error)
            self._entered = time.monotonic() - self._seconds / 2 + _PING_SECONDS
        finally:
            self._entering.release()

    def _greet(self) -> None:
        """Say again what the pool may not know: that this connection is here, and what it follows."""
        self._send(Hello(major=MAJOR, minor=MINOR))
        for tracked in list(self._tracked.values()):
            self._wish(tracked)

    def _wish(self, tracked: Tracked) -> None:
        """Say again what is wanted of a job; never its submission behind its cancellation."""
        with self._lock:
            self._send(tracked.wish)

    def _send(self, message: Any, bulk: int = 0) -> None:
        self._channel.send(write(message), bulk)

    def _take(self, message: ToClient, buffers: list[Any]) -> None:
        if isinstance(message, Welcome):
            self.welcome = message
            self._welcomed.set()
        elif isinstance(message, PoolState):
            self._take_state(message)
        elif isinstance(message, Extract):
            self._questions.answer(message.number, (message, bytes(buffers[0])))
        elif isinstance(message, Accepted | Failure) and message.number:
            self._questions.answer(message.number, message)
        elif isinstance(message, Failure) and not message.job:
            self._take_failure(message)
        else:
            tracked = self._tracked.get(message.job)
            if tracked:
                tracked.heard = time.monotonic()
                self._take_of_job(tracked, message, buffers)

    def _take_of_job(self, tracked: Tracked, message: Any, buffers: list[Any]) -> None:
        if isinstance(message, Event):
            tracked.job.take_event(message, buffers[0] if buffers else None)
        elif isinstance(message, Accepted):
            tracked.job.take_place(message.ahead)
        elif isinstance(message, Done):
            self._take_done(tracked, message, buffers)
        elif isinstance(message, Chunk):
            self._receiving.take_chunk(tracked, message, buffers[0])
        elif isinstance(message, Ticket):
            self._receiving.take_ticket(tracked, message)
        elif isinstance(message, Failure) and message.code == "missing" and tracked.submit and message.missing:
            self._put(tracked, message)
        elif isinstance(message, Failure) and message.code == "unknown_job" and tracked.cancelling and tracked.submit:
            self._end(tracked, error=to_error(structs.replace(message, code="cancelled")))
        elif isinstance(message, Failure):
            self._end(tracked, error=to_error(message))

    def _take_state(self, state: PoolState) -> None:
        self._questions.answer(state.number, state)
        if self.welcome and state.epoch != self.welcome.epoch:
            # The broker was started again: it has the jobs, but does not know that this connection follows them.
            self.welcome = structs.replace(self.welcome, epoch=state.epoch)
            self._greet()
        self._look_after(state)

    def _look_after(self, state: PoolState) -> None:
        """Ask again for what a broken link may have lost: the end of a job, a chunk of a result, a job never heard of."""
        ended = {info.job for info in state.jobs if info.state in ("done", "failed", "cancelled")}
        listed = {info.job for info in state.jobs}
        now = time.monotonic()
        for job_id, tracked in list(self._tracked.items()):
            if now - tracked.heard < _PING_SECONDS:
                continue
            if tracked.size:
                self._receiving.again(tracked)
            elif job_id in ended:
                self._send(Follow(job=job_id))
            elif tracked.cancelling or (job_id not in listed and tracked.submit is not None):
                self._wish(tracked)

    def _take_failure(self, failure: Failure) -> None:
        if failure.code == "version":
            self._refused = PoolUnavailable(failure.message)
            self._welcomed.set()
        elif failure.digest:
            error = to_error(failure)
            for tracked in [t for t in self._tracked.values() if failure.digest in t.objects]:
                self._end(tracked, error=error)
        elif failure.code == "expired" and self._enter is not None:
            self._enter_again()
        elif failure.code in ("protocol", "expired"):
            self._fail_all(failure.message, gone=failure.code == "expired")

    def _take_done(self, tracked: Tracked, done: Done, buffers: list[Any]) -> None:
        if buffers:
            self._end(tracked, data=buffers)
        else:
            self._receiving.begin(tracked, done)

    def _take_whole(self, tracked: Tracked) -> None:
        self._end(tracked, data=tracked.parts)

    def _put(self, tracked: Tracked, failure: Failure) -> None:
        unknown = [digest for digest in failure.missing if digest not in tracked.objects]
        if unknown:
            self._end(
                tracked, error=RequestError(f"the pool has no object {unknown[0]}, and this request does not bring it")
            )
            return
        if not tracked.cancelling:
            for digest in failure.missing:
                self._channel.send(write_bytes(Put(digest=digest), tracked.objects[digest]))
        self._wish(tracked)

    def _end(self, tracked: Tracked, data: list[Any] | None = None, error: BaseException | None = None) -> None:
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

    def _fail_all(self, why: str, gone: bool = False) -> None:
        with self._lock:
            waiting = list(self._tracked.values())
            self._tracked.clear()
            if gone or self._closed or self._alive():
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
