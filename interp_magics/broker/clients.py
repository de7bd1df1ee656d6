"""The clients' side of the broker. The user is what ZAP says of the connection, never what a message says."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from ..errors import RequestError, nearest
from ..methods import plans, slices
from ..methods.requests import Request
from ..program.cards import ModelCard
from ..program.language import digests
from ..program.texts import guessed_tokens
from ..wire.frames import Buffer
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
    Limits,
    ModelInfo,
    PoolState,
    Put,
    Release,
    Stat,
    Submit,
    Ticket,
    Welcome,
)
from .book import Book
from .door import Door
from .jobs import Group, Job
from .outbox import Outbox, Route
from .schedule import JobKey
from .shelf import StoreError
from .store import ObjectStore, Spool
from .workers import Workers

CHUNK = 1 << 20
#: On the endpoint of messages chunks are small, so that a client who does not read holds little of the broker's memory.
SMALL_CHUNK = 1 << 16
FIRST_CHUNKS = 8
_LISTED = 200


@dataclass(frozen=True)
class Places:
    """Where large results are had: the door for clients on this host, the port for results in chunks."""

    door: Door
    bulk_port: int


class Clients:
    """Answers clients. A job that is not the asker's is a job that does not exist."""

    def __init__(
        self,
        book: Book,
        store: ObjectStore,
        spool: Spool,
        outbox: Outbox,
        limits: Limits,
        models: Sequence[str],
        workers: Workers,
        places: Places,
    ) -> None:
        self._book, self._store, self._spool, self._out = book, store, spool, outbox
        self._limits, self._models, self._workers = limits, tuple(models), workers
        self._places = places
        self._epoch, self._started = uuid4().hex, time.monotonic()
        #: Why nothing more can be accepted, if that is so.
        self.trouble = ""
        self._reading: dict[tuple[Route, JobKey], int] = {}
        self._handlers: dict[type, Callable[[Route, str, Any, Sequence[Buffer]], None]] = {
            Hello: self._hello,
            Put: self._put,
            Stat: self._stat,
            Submit: self._submit,
            CancelJob: self._cancel,
            Fetch: self._fetch,
            Credit: self._credit,
            Follow: self._follow,
            Release: self._release,
        }

    def handle(self, route: Route, user: str, message: FromClient, buffers: Sequence[Buffer]) -> None:
        self._handlers[type(message)](route, user, message, buffers)

    def refuse(self, route: Route, why: str) -> None:
        """Answer to a known client for what is not a message."""
        self._out.client(
            route, Failure(code="protocol", message=f"{why}; client and pool may be of different versions")
        )

    def disown(self, jobs: Sequence[Job], why: str) -> None:
        """Jobs that could not be written down were not accepted."""
        for job in jobs:
            self._out.retract(job.key[1], job.followers)
            if not job.parent:
                text = f"the pool cannot write down what it is asked ({why}); nothing was queued, try again later"
                self._out.clients(job.followers, Failure(code="storage", message=text, job=job.key[1]))
                self._book.forget(job.key)

    def expire(self, now: float) -> None:
        """Forget results whose time is over."""
        for job in self._book.ended():
            if now - job.ended > self._limits.result_ttl:
                self._forget(job.key)

    def _hello(self, route: Route, user: str, hello: Hello, buffers: Sequence[Buffer]) -> None:
        if hello.major != MAJOR:
            side = "the client" if hello.major < MAJOR else "the pool"
            text = f"the client speaks IMP/{hello.major}, the pool IMP/{MAJOR}: upgrade {side}"
            self._out.client(route, Failure(code="version", message=text))
            return
        minor = min(hello.minor, MINOR)
        welcome = Welcome(
            major=MAJOR,
            minor=minor,
            epoch=self._epoch,
            user=user,
            limits=self._limits,
            door=self._places.door.path,
            bulk=self._places.bulk_port,
        )
        self._out.client(route, welcome)

    def _put(self, route: Route, user: str, put: Put, buffers: Sequence[Buffer]) -> None:
        try:
            if len(buffers) != 1:
                raise StoreError("bad_request", "an object is one buffer")
            self._store.put(user, put.digest, bytes(buffers[0]), put.ttl, time.monotonic())
        except StoreError as error:
            self._out.client(route, Failure(code=error.code, message=str(error), digest=put.digest))
            return
        self._out.client(route, Accepted(digest=put.digest))

    def _stat(self, route: Route, user: str, stat: Stat, buffers: Sequence[Buffer]) -> None:
        places = self._book.places(time.monotonic())
        mine = list(self._book.of_user(user))[-_LISTED:]
        jobs = tuple(self._book.info(job, places) for job in mine)
        models = tuple(self._model_info(name) for name in self._models)
        uptime = time.monotonic() - self._started
        state = PoolState(
            number=stat.number,
            epoch=self._epoch,
            models=models,
            jobs=jobs,
            running=self._book.running,
            queued=self._book.queued,
            uptime=uptime,
        )
        self._out.client(route, state)

    def _model_info(self, name: str) -> ModelInfo:
        groups = [g for g in self._book.groups.values() if g.model == name]
        up = [g for g in groups if g.state == "up"]
        failed = [g for g in groups if g.state == "failed"]
        return ModelInfo(
            name=name,
            state=_state(groups),
            workers=len(up),
            queued=len(self._book.waiting_for(name)),
            card=next((g.card for g in up if g.card), None),
            trouble=next((g.trouble for g in failed), ""),
        )

    def _submit(self, route: Route, user: str, submit: Submit, buffers: Sequence[Buffer]) -> None:
        key = (user, submit.job)
        known = self._book.jobs.get(key)
        if known:
            known.followers.add(route)
            self._out.client(route, Accepted(job=submit.job, ahead=self._ahead(key)))
            self._tell_end(route, known)
            return
        trouble = self._trouble(user, submit)
        if trouble:
            self._out.client(route, trouble)
            return
        objects = tuple(sorted(digests(submit.request)))
        card = self._model_info(submit.model).card
        most, result = self._limits.slice_seconds, self._limits.result_bytes
        parts = slices.split(submit.request, card, most, result) if card else (submit.request,)
        costs = [_seconds(part, card) for part in parts] if card else ()
        job = self._book.submit(key, submit.model, parts, submit.priority, objects, time.monotonic(), costs)
        job.followers.add(route)
        self._out.client(route, Accepted(job=submit.job, ahead=self._ahead(key)))
        if not any(g.state == "up" for g in self._book.groups.values() if g.model == submit.model):
            self._out.client(route, Event(job=submit.job, attempt=1, seq=0, part="loading"))

    def _trouble(self, user: str, submit: Submit) -> Failure | None:
        def failure(code: str, message: str, missing: tuple[str, ...] = ()) -> Failure:
            return Failure(code=code, message=message, job=submit.job, missing=missing)

        if submit.model not in self._models:
            return failure(
                "bad_request", f"the pool does not serve {submit.model!r}{nearest(submit.model, self._models)}"
            )
        if self.trouble:
            return failure("storage", f"the pool cannot write down what it is asked ({self.trouble}); try again later")
        info = self._model_info(submit.model)
        if info.state == "failed":
            return failure("model_failed", info.trouble or f"{submit.model} could not be loaded")
        if self._book.queued_of(user) >= self._limits.queued_jobs:
            return failure(
                "busy",
                f"you have {self._limits.queued_jobs} jobs or parts of jobs waiting already; submit more when some are done",
            )
        missing = self._store.missing(user, tuple(sorted(digests(submit.request))))
        if missing:
            return failure("missing", "objects must be put first", missing)
        try:
            if info.card:
                plans.validate(submit.request, info.card)
        except RequestError as error:
            return failure("bad_request", str(error))
        return None

    def _ahead(self, key: JobKey) -> int:
        """An upper bound that costs nothing: the exact place is in the state that a client asks for."""
        job = self._book.jobs[key]
        return max(0, self._book.queued - max(1, len(job.parts))) if job.state == "queued" else 0

    def _cancel(self, route: Route, user: str, cancel: CancelJob, buffers: Sequence[Buffer]) -> None:
        job = self._book.cancel((user, cancel.job), time.monotonic())
        if job is None:
            self._unknown(route, cancel.job)
        elif job.state == "running":
            self._workers.cancel(job)
        elif job.state == "cancelled":
            self._workers.let_go(job)
            self._out.clients({route, *job.followers}, _cancelled(job))

    def _follow(self, route: Route, user: str, follow: Follow, buffers: Sequence[Buffer]) -> None:
        job = self._book.jobs.get((user, follow.job))
        if job is None:
            self._unknown(route, follow.job)
            return
        job.followers.add(route)
        self._out.client(route, Accepted(job=follow.job, ahead=self._ahead(job.key)))
        self._tell_end(route, job)

    def _tell_end(self, route: Route, job: Job) -> None:
        result = self._spool.find(job.key)
        if job.state == "done" and job.parts:
            self._out.client(route, self._workers.done(job))
        elif job.state == "done" and result:
            done = Done(job=job.key[1], attempt=job.attempt, size=result.size, seconds=job.seconds, worker=job.group)
            small = result.size <= self._limits.inline_bytes
            self._out.client(route, done, self._spool.read(job.key) if small else None)
        elif job.state == "done":
            text = "the job is done, but the pool has lost its result; submit it again"
            self._out.client(route, Failure(code="expired", message=text, job=job.key[1]))
        elif job.state == "cancelled":
            self._out.client(route, _cancelled(job))
        elif job.state == "failed":
            self._out.client(route, job.failure or Failure(code="failed", message="the job failed", job=job.key[1]))

    def _fetch(self, route: Route, user: str, fetch: Fetch, buffers: Sequence[Buffer]) -> None:
        key = self._part((user, fetch.job), fetch.part)
        result = self._spool.find(key)
        if result is None:
            self._unknown(route, fetch.job)
            return
        if fetch.local and result.path:
            secret = self._places.door.ticket(result.path)
            self._out.client(route, Ticket(job=fetch.job, part=fetch.part, size=result.size, secret=secret))
            return
        self._reading[route, key] = fetch.offset
        self._send_chunks(route, fetch.job, fetch.part, key, FIRST_CHUNKS)

    def _credit(self, route: Route, user: str, credit: Credit, buffers: Sequence[Buffer]) -> None:
        key = self._part((user, credit.job), credit.part)
        self._send_chunks(route, credit.job, credit.part, key, credit.chunks)

    def _part(self, key: JobKey, part: int) -> JobKey:
        """Where the result of a job, or of one of its parts, is found."""
        job = self._book.jobs.get(key)
        return job.parts[part] if job and part < len(job.parts) else key

    def _send_chunks(self, route: Route, job: str, part: int, key: JobKey, count: int) -> None:
        """Up to `count` chunks of a result that the connection reads, as its credit allows."""
        result = self._spool.find(key)
        for _ in range(count):
            offset = self._reading.get((route, key))
            if offset is None or result is None or offset >= result.size:
                self._reading.pop((route, key), None)
                return
            data = self._spool.read(key, offset, CHUNK if route.bulk else SMALL_CHUNK)
            if not self._out.at_once(route, Chunk(job=job, part=part, offset=offset, size=result.size), data):
                self._reading.pop((route, key), None)
                return
            self._reading[route, key] = offset + len(data)

    def _release(self, route: Route, user: str, release: Release, buffers: Sequence[Buffer]) -> None:
        job = self._book.jobs.get((user, release.job))
        if job and self._book.over(job):
            self._forget(job.key)

    def _forget(self, key: JobKey) -> None:
        job = self._book.jobs.get(key)
        keys = {key, *(job.parts if job else ())}
        for each in keys:
            self._spool.release(each)
        self._book.forget(key)
        for reading in [reading for reading in self._reading if reading[1] in keys]:
            del self._reading[reading]

    def _unknown(self, route: Route, job: str) -> None:
        self._out.client(route, Failure(code="unknown_job", message=f"you have no job {job}", job=job))


def _state(groups: Sequence[Group]) -> Literal["waiting", "loading", "serving", "failed"]:
    """The state of a model from that of its groups."""
    states = {group.state for group in groups}
    if "up" in states:
        return "serving"
    if states == {"failed"}:
        return "failed"
    return "loading" if states else "waiting"


def _seconds(request: Request, card: ModelCard) -> float:
    """What a request is predicted to take, its tokens guessed."""
    return plans.cost(request, card, [guessed_tokens(text) for text in plans.texts(request)]).seconds(card)


def _cancelled(job: Job) -> Failure:
    return Failure(code="cancelled", message="the job was cancelled", job=job.key[1])
