"""The clients' side of the broker. The user is what ZAP says of the connection, never what a message says."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from msgspec import structs

from ..errors import RequestError
from ..wire.frames import Buffer
from ..wire.messages import (
    CAPABILITIES,
    MAJOR,
    MINOR,
    Accepted,
    CancelJob,
    Credit,
    Done,
    Drop,
    Event,
    Extract,
    Failure,
    Fetch,
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
    Welcome,
)
from ..wire.standing import Limits
from .access import Access
from .admission import Key
from .audit import Audit
from .book import Book
from .corpora import Corpora
from .fetching import Fetching, Places
from .jobs import Job
from .manage import Management
from .outbox import Outbox, Route
from .rules import Rules
from .schedule import JobKey
from .shelf import StoreError
from .standing import Standing
from .store import ObjectStore, Spool
from .submission import MOST_JOBS, Submission
from .upkeep import Upkeep
from .workers import AT_ONCE, Workers


class Clients:
    """Answers clients. A job that the asker may not see is a job that does not exist."""

    def __init__(
        self,
        book: Book,
        store: ObjectStore,
        spool: Spool,
        outbox: Outbox,
        limits: Limits,
        rules: Rules,
        standing: Standing,
        access: Access,
        workers: Workers,
        upkeep: Upkeep,
        places: Places,
        audit: Audit,
        corpora: Corpora,
        epoch: str,
    ) -> None:
        self._book, self._store, self._spool, self._out = book, store, spool, outbox
        self._limits, self._rules, self._standing, self._workers = limits, rules, standing, workers
        self._access, self._places, self._audit, self._epoch = access, places, audit, epoch
        self._corpora = corpora
        self._fetching = Fetching(book, spool, outbox, places)
        self._management = Management(book, upkeep, standing, self._end)
        self._submission = Submission(book, store, limits, rules, standing)
        self._handlers: dict[type, Callable[[Route, Key, Any, Sequence[Buffer]], None]] = {
            Hello: self._hello,
            Put: self._put,
            Drop: self._drop,
            Stat: self._stat,
            Read: self._read,
            CancelJob: self._cancel,
            Fetch: self._fetch,
            Credit: self._credit,
            Follow: self._follow,
            Release: self._release,
            Share: self._share,
            Manage: self._manage,
        }

    def handle(self, route: Route, who: Key, message: FromClient, buffers: Sequence[Buffer], size: int = 0) -> None:
        """Answer a message whose header has `size` bytes."""
        self._rules.know(who.user, who.groups)
        if isinstance(message, Submit):
            self._submit(route, who, message, size)
        else:
            self._handlers[type(message)](route, who, message, buffers)

    def refuse(self, route: Route, why: str) -> None:
        """Answer to a known client for what is not a message."""
        self._out.client(
            route, Failure(code="protocol", message=f"{why}; client and pool may be of different versions")
        )

    def dismiss(self, route: Route) -> None:
        """Answer to a client whose key was revoked, or is over."""
        text = "your admission to this pool is over; connect again, or ask its administrator for a new token"
        self._out.client(route, Failure(code="expired", message=text))

    def adopt(self) -> None:
        """Look after the jobs of an earlier broker: whose they are, and whether they can ever run."""
        for job in list(self._book.jobs.values()):
            self._rules.know(job.key[0], job.groups)
            if job.model not in self._standing.models and not job.parent and not job.ended_state:
                text = f"the pool does not serve {job.model!r} any more"
                job.failure = Failure(code="model_failed", message=text, job=job.key[1])
                self._book.fail(job, time.monotonic())
                self._workers.let_go(job)

    def disown(self, jobs: Sequence[Job], why: str) -> None:
        """Jobs that could not be written down were not accepted."""
        for job in jobs:
            self._out.retract(job.key[1], job.followers)
            if not job.parent:
                text = f"the pool cannot write down what it is asked ({why}); nothing was queued, try again later"
                self._out.clients(job.followers, Failure(code="storage", message=text, job=job.key[1]))
                self._forget(job)
        lost = Failure(code="storage", message=f"the pool cannot write this down ({why}); try again later")
        gone = {job.key[1] for job in jobs}
        self._out.rewrite(lambda said: _without(said, gone, lost))

    def expire(self, now: float) -> None:
        """Forget results whose time is over."""
        for job in self._book.ended(now - self._limits.result_ttl):
            self._forget(job)

    def _hello(self, route: Route, who: Key, hello: Hello, buffers: Sequence[Buffer]) -> None:
        if hello.major != MAJOR:
            side = "the client" if hello.major < MAJOR else "the pool"
            text = f"the client speaks IMP/{hello.major}, the pool IMP/{MAJOR}: upgrade {side}"
            self._out.client(route, Failure(code="version", message=text))
            return
        welcome = Welcome(
            major=MAJOR,
            minor=min(hello.minor, MINOR),
            epoch=self._epoch,
            user=who.user,
            limits=self._limits,
            door=self._places.door.path,
            bulk=self._places.bulk_port,
            groups=tuple(sorted(who.groups)),
            admin=who.admin,
            capabilities=CAPABILITIES,
        )
        self._out.client(route, welcome)

    def _put(self, route: Route, who: Key, put: Put, buffers: Sequence[Buffer]) -> None:
        try:
            if len(buffers) != 1:
                raise StoreError("bad_request", "an object is one buffer")
            if self._standing.trouble:
                raise StoreError(
                    "storage", f"the pool cannot store anything now ({self._standing.trouble}); try again later"
                )
            self._store.put(who.user, put.digest, bytes(buffers[0]), put.ttl, time.monotonic())
        except StoreError as error:
            self._out.client(route, Failure(code=error.code, message=str(error), digest=put.digest))
            return
        self._out.client(route, Accepted(digest=put.digest))

    def _drop(self, route: Route, who: Key, drop: Drop, buffers: Sequence[Buffer]) -> None:
        if not any(drop.digest in job.objects and not self._book.over(job) for job in self._book.of_user(who.user)):
            self._store.drop(who.user, drop.digest)

    def _stat(self, route: Route, who: Key, stat: Stat, buffers: Sequence[Buffer]) -> None:
        self._out.client(route, self._standing.state(who, stat.number, stat.job))

    def _read(self, route: Route, who: Key, read: Read, buffers: Sequence[Buffer]) -> None:
        try:
            piece = self._corpora.piece(read.corpus, read.file, read.offset)
        except RequestError as error:
            self._out.client(route, Failure(code="bad_request", message=str(error), number=read.number))
            return
        if not read.offset:
            self._audit.read(who.user, read)
        told = Extract(number=read.number, name=piece.name, size=piece.size, files=piece.files)
        self._out.at_once(route, told, piece.data)

    def _submit(self, route: Route, who: Key, submit: Submit, size: int) -> None:
        known = self._book.jobs.get((who.user, submit.job))
        if known:
            self._join(route, known)
            return
        trouble = self._submission.trouble(who, submit, size)
        if trouble:
            self._out.client(route, trouble)
            return
        while self._book.count_of(who.user) >= MOST_JOBS and (oldest := self._book.oldest_ended(who.user)):
            self._forget(oldest)
        job = self._submission.accept(who, submit, size)
        job.follow(route)
        self._audit.submitted(job, submit.request)
        self._out.client(route, Accepted(job=submit.job, ahead=self._ahead(job.key)))
        if not self._book.ups(submit.model):
            self._out.client(route, Event(job=submit.job, attempt=1, seq=0, part="loading"))

    def _ahead(self, key: JobKey) -> int:
        """An upper bound that costs nothing: the exact place is in the state that a client asks for."""
        job = self._book.jobs[key]
        return max(0, self._book.queued - max(1, len(job.parts))) if job.state == "queued" else 0

    def _cancel(self, route: Route, who: Key, cancel: CancelJob, buffers: Sequence[Buffer]) -> None:
        job = self._access.owned(who, cancel.job)
        if job is None:
            self._unknown(route, cancel.job)
        elif job.ended_state:
            self._tell_end(route, job)
        else:
            job.follow(route)
            self._end(job)

    def _end(self, job: Job) -> None:
        """Cancel a job that waits or runs."""
        self._book.cancel(job.key, time.monotonic())
        if job.state == "running":
            self._workers.cancel(job)
        elif job.state == "cancelled":
            self._workers.let_go(job)
            self._out.clients(job.followers, _cancelled(job))

    def _follow(self, route: Route, who: Key, follow: Follow, buffers: Sequence[Buffer]) -> None:
        job = self._access.seen(who, follow.job)
        if job is None:
            self._unknown(route, follow.job)
        else:
            self._join(route, job)

    def _join(self, route: Route, job: Job) -> None:
        job.follow(route)
        self._out.client(route, Accepted(job=job.key[1], ahead=self._ahead(job.key)))
        self._tell_end(route, job)

    def _tell_end(self, route: Route, job: Job) -> None:
        result = self._spool.find(job.key)
        if job.state == "done" and job.parts:
            self._out.client(route, self._workers.done(job))
        elif job.state == "done" and result:
            done = Done(job=job.key[1], attempt=job.attempt, size=result.size, seconds=job.seconds, worker=job.group)
            small = result.size <= AT_ONCE
            self._out.client(route, done, self._spool.read(job.key) if small else None)
        elif job.state == "done":
            text = "the job is done, but the pool has lost its result; submit it again"
            self._out.client(route, Failure(code="expired", message=text, job=job.key[1]))
        elif job.state == "cancelled":
            self._out.client(route, _cancelled(job))
        elif job.state == "failed":
            self._out.client(route, job.failure or Failure(code="failed", message="the job failed", job=job.key[1]))

    def _fetch(self, route: Route, who: Key, fetch: Fetch, buffers: Sequence[Buffer]) -> None:
        job = self._access.seen(who, fetch.job)
        if job is None or not self._fetching.begin(route, job, fetch.part, fetch.offset, fetch.local):
            self._unknown(route, fetch.job)

    def _credit(self, route: Route, who: Key, credit: Credit, buffers: Sequence[Buffer]) -> None:
        job = self._access.seen(who, credit.job)
        if job:
            self._fetching.go_on(route, job, credit.part, credit.chunks)

    def _release(self, route: Route, who: Key, release: Release, buffers: Sequence[Buffer]) -> None:
        job = self._book.jobs.get((who.user, release.job))
        if job and not job.parent and self._book.over(job):
            self._forget(job)

    def _share(self, route: Route, who: Key, share: Share, buffers: Sequence[Buffer]) -> None:
        job = self._access.owned(who, share.job)
        if job is None:
            self._out.client(route, _no_job(share.job, share.number))
            return
        try:
            self._access.share(job, [*share.users, *(f"@{group}" for group in share.groups)])
        except RequestError as error:
            self._out.client(route, Failure(code="bad_request", message=str(error), number=share.number))
            return
        self._audit.shared(who.user, job, share)
        self._out.client(route, Accepted(number=share.number))

    def _manage(self, route: Route, who: Key, manage: Manage, buffers: Sequence[Buffer]) -> None:
        try:
            if not who.admin:
                raise RequestError("only an administrator of the pool may do that")
            self._management.do(manage)
        except RequestError as error:
            self._out.client(route, Failure(code="bad_request", message=str(error), number=manage.number))
            return
        self._audit.managed(who.user, manage)
        self._out.client(route, Accepted(number=manage.number))

    def _forget(self, job: Job) -> None:
        keys = {job.key, *job.parts}
        for each in keys:
            self._spool.release(each)
        self._book.forget(job.key)
        self._access.forget(job)
        self._fetching.forget(keys)

    def _unknown(self, route: Route, job: str) -> None:
        self._out.client(route, _no_job(job))


def _no_job(job: str, number: int = 0) -> Failure:
    return Failure(code="unknown_job", message=f"you have no job {job}", job="" if number else job, number=number)


def _cancelled(job: Job) -> Failure:
    return Failure(code="cancelled", message="the job was cancelled", job=job.key[1])


def _without(said: Any, gone: Collection[str], lost: Failure) -> Any:
    """What is said once it is known that some jobs, and the objects of this turn, could not be written down."""
    if isinstance(said, PoolState):
        return structs.replace(said, jobs=tuple(info for info in said.jobs if info.job not in gone))
    return lost if isinstance(said, Accepted) and said.digest else said
