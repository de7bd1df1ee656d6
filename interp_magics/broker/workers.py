"""The workers' side of the broker."""

import logging
import time
from collections.abc import Sequence

import msgspec

from ..wire.frames import Buffer
from ..wire.messages import (
    Assign,
    Beat,
    Chunk,
    Done,
    Event,
    Failed,
    Failure,
    FromWorker,
    Get,
    Ready,
    Started,
    Stop,
)
from ..wire.standing import JobState
from .book import STRIKES, Book
from .jobs import Group, Job
from .outbox import Outbox
from .rules import Rules
from .shelf import StoreError
from .store import ObjectStore, Spool
from .upkeep import Upkeep

log = logging.getLogger(__name__)


#: Of how many processes that have not said `ready` how many messages wait for it.
_EARLY_ROUTES, _EARLY_MESSAGES = 64, 64
_EARLY_SECONDS = 10.0
#: A group that is gone is shown for so long.
_GONE_SECONDS = 60.0
_SWEEP_SECONDS = 10.0
#: So long after the start groups that were there before may not have spoken yet.
_SPOKEN = 10.0
#: A larger result is not sent at once but fetched, so that a client who does not read holds little of the broker's memory.
AT_ONCE = 64 << 10


class Workers:
    """Hands jobs to worker groups, and passes on what they say to those who follow the jobs."""

    def __init__(
        self,
        book: Book,
        store: ObjectStore,
        spool: Spool,
        outbox: Outbox,
        rules: Rules,
        upkeep: Upkeep,
        scrubbers: Sequence[str] = (),
    ) -> None:
        """`scrubbers` are what every process must clean texts with."""
        self._scrubbers = scrubbers
        self._book, self._store, self._spool, self._out = book, store, spool, outbox
        self._rules, self._upkeep = rules, upkeep
        self._routes: dict[bytes, str] = {}
        self._early: dict[bytes, tuple[float, list[tuple[FromWorker, Sequence[Buffer]]]]] = {}
        self._started = time.monotonic()
        self._next_sweep = self._started + _SWEEP_SECONDS

    def handle(self, route: bytes, message: FromWorker, buffers: Sequence[Buffer]) -> None:
        """One message from a worker group; what a process says before `ready` counts after it."""
        now = time.monotonic()
        if isinstance(message, Beat):
            self._beat(route, message, now)
        elif isinstance(message, Ready):
            self._ready(route, message, now)
            _, early = self._early.pop(route, (now, []))
            for said in early:
                self.handle(route, *said)
        elif group := self._group(route):
            self._of_group(group, route, message, buffers, now)
        elif len(self._early) < _EARLY_ROUTES or route in self._early:
            # A process that outlived its broker says first what it could not say while that was away.
            _, kept = self._early.setdefault(route, (now, []))
            kept.append((message, buffers))
            del kept[:-_EARLY_MESSAGES]

    def hand_out(self) -> None:
        """Send what waits to whoever has room."""
        for job in self._book.hand_out(time.monotonic()):
            if job.request is not None:
                message = Assign(
                    job=_wire_id(job),
                    attempt=job.attempt,
                    request=job.request,
                    owner=job.key[0],
                    spool=self._incoming(job),
                )
                self._out.worker(self._book.groups[job.group].route, message)

    def retire(self, name: str) -> None:
        """A group was ended by the pool itself, and will not come back."""
        self._tell_lost(self._book.retire(name, time.monotonic()))

    def unreachable(self, route: bytes) -> None:
        """A message to a group could not be sent."""
        group = self._group(route)
        if group:
            self.lost(group.name, "it is not connected")

    def expire(self, now: float) -> None:
        """Forget processes that are gone, and what attempts that were given up have left."""
        if now > self._next_sweep:
            self._next_sweep = now + _SWEEP_SECONDS
            self.sweep()
        for name in self._book.gone(now - _GONE_SECONDS):
            self.retire(name)
        for route in [route for route, (since, _) in self._early.items() if now - since > _EARLY_SECONDS]:
            del self._early[route]
        serving = {group.route for group in self._book.groups.values()}
        for route in [route for route in self._routes if route not in serving]:
            del self._routes[route]

    def sweep(self) -> None:
        """Remove what attempts that count no more have left in the spool."""
        running = [self._book.jobs[key] for group in self._book.groups.values() for key in group.running]
        self._spool.sweep({self._incoming(job) for job in running})

    def cancel(self, job: Job) -> None:
        """Tell the groups that run a job or parts of it."""
        for part in self._book.parts(job) or [job]:
            group = self._book.groups.get(part.group)
            if group and part.cancelling:
                self._out.worker(group.route, Stop(job=_wire_id(part), attempt=part.attempt))

    def lost(self, name: str, why: str) -> None:
        """A group is gone; its jobs go back to the queue."""
        log.warning("group %s is lost: %s", name, why)
        self._tell_lost(self._book.lose(name, time.monotonic(), died=False))
        self._book.groups[name].state = "gone"

    def _group(self, route: bytes) -> Group | None:
        group = self._book.groups.get(self._routes.get(route, ""))
        return group if group and group.route == route else None

    def _beat(self, route: bytes, beat: Beat, now: float) -> None:
        self._tell_lost(
            self._book.beat(beat.group, beat.model, beat.state, beat.trouble, now, beat.awaited, beat.blameless)
        )
        group = self._book.groups.get(beat.group)
        if group is None:
            return
        group.nanny = route if beat.pid else group.nanny
        if beat.state == "failed" and beat.trouble:
            log.error("%s cannot be served: %s", beat.model, beat.trouble)
        if beat.state == "failed":
            self._fail_waiting(beat.model, group.trouble)

    def _ready(self, route: bytes, ready: Ready, now: float) -> None:
        if unfit := self._unfit(ready):
            self._tell_lost(self._book.refuse(ready.group, ready.card.name, unfit, now))
            return
        self._routes[route] = ready.group
        has = {(int(attempt.job), attempt.number) for attempt in ready.has if attempt.job.isdigit()}
        self._tell_lost(self._book.ready(ready.group, route, ready.epoch, ready.card, ready.slots, now, has))
        group = self._book.groups[ready.group]
        group.devices, group.figures = ready.devices, ready.figures
        self._upkeep.kick_again(group, now)
        expected = {(job.number, job.attempt) for job in self._running(ready.group)}
        for number, attempt in has - expected:
            self._out.worker(route, Stop(job=f"{number:012d}", attempt=attempt))
        for job in self._running(ready.group):
            if job.cancelling:
                self._out.worker(route, Stop(job=_wire_id(job), attempt=job.attempt))

    def _unfit(self, ready: Ready) -> str:
        """Why a process is given nothing: it may have been started when the pool asked for less."""
        has = {scrubber.partition(" ")[0] for scrubber in ready.card.scrubbers}
        lacking = ", ".join(name for name in self._scrubbers if name not in has)
        return (
            lacking
            and f"it does not clean texts with {lacking}, as this pool asks: start it anew with the pool's worker file"
        )

    def _running(self, group: str) -> list[Job]:
        return [self._book.jobs[key] for key in self._book.groups[group].running]

    def _incoming(self, job: Job) -> str:
        return self._spool.incoming(job.number, job.attempt)

    def _of_group(self, group: Group, route: bytes, message: FromWorker, buffers: Sequence[Buffer], now: float) -> None:
        group.word = now
        if isinstance(message, Started):
            for attempt in message.jobs:
                job = self._find(group, attempt.job)
                if job and self._book.started(job.key, group.name, attempt.number, now):
                    self._event(job, Event(job="-", attempt=0, seq=0, part="started", worker=group.name))
        elif isinstance(message, Get):
            self._get(group, route, message)
        elif isinstance(message, Event):
            job = self._find(group, message.job)
            if job and job.attempt == message.attempt:
                self._event(job, message, buffers[0] if buffers else None)
        elif isinstance(message, Done):
            self._done(group, message, buffers, now)
        elif isinstance(message, Failed):
            self._failed(group, message, now)

    def _done(self, group: Group, done: Done, buffers: Sequence[Buffer], now: float) -> None:
        running = self._find(group, done.job)
        job = self._book.end(running.key, group.name, done.attempt, "done", now) if running else None
        if job is None:
            return
        incoming = self._incoming(job)
        try:
            size = len(buffers[0]) if buffers else self._spool.size(incoming)
            if self._spool.used(job.key[0]) + size > self._rules.of(job.key[0]).result_bytes:
                raise StoreError("quota", "your results would pass the pool's limit; release some, or capture less")
            result = self._spool.keep(job.key, bytes(buffers[0])) if buffers else self._spool.commit(job.key, incoming)
        except StoreError as error:
            self._spool.discard(incoming)
            job.state = "failed"
            self._fail(job, error.code, str(error), group.name)
            return
        if job.parent:
            self._settled(job, now)
            return
        answer = Done(job=job.key[1], attempt=job.attempt, size=result.size, seconds=job.seconds, worker=group.name)
        self._out.clients(job.followers, answer, buffers[0] if buffers and result.size <= AT_ONCE else None)

    def _failed(self, group: Group, failed: Failed, now: float) -> None:
        running = self._find(group, failed.job)
        state: JobState = "cancelled" if failed.code == "cancelled" else "failed"
        job = self._book.end(running.key, group.name, failed.attempt, state, now) if running else None
        if job:
            self._spool.discard(self._incoming(job))
            self._fail(job, failed.code, failed.message, group.name)

    def _settled(self, part: Job, now: float) -> None:
        """A part of a job has ended: tell how far the job is, or how it ended."""
        whole = self._book.settle(part, now)
        parts = self._book.parts(whole)
        self.let_go(whole)
        if whole.state == "done":
            self._out.clients(whole.followers, self.done(whole))
        elif whole.state == "failed" and whole.failure is part.failure:
            self._out.clients(whole.followers, whole.failure or Failure(code="failed", message="", job=whole.key[1]))
            self._book.withdraw(whole, now)
            self.cancel(whole)
            self.let_go(whole)
        elif whole.state == "cancelled":
            self._fail(whole, "cancelled", "the job was cancelled")
        elif whole.state == "running":
            texts = sum(other.texts for other in parts if other.state == "done")
            self._event(whole, Event(job="-", attempt=0, seq=0, part="progress", done=texts, total=whole.texts))

    def let_go(self, whole: Job) -> None:
        """Drop parts, and their results, of a job that will have none."""
        if whole.state in ("failed", "cancelled"):
            for key in whole.parts:
                self._spool.release(key)
            self._book.shed(whole)

    def done(self, whole: Job) -> Done:
        """What is said of a job whose parts are all there."""
        found = [self._spool.find(key) for key in whole.parts]
        size = sum(result.size for result in found if result)
        return Done(job=whole.key[1], attempt=whole.attempt, size=size, parts=len(found), seconds=whole.seconds)

    def _get(self, group: Group, route: bytes, get: Get) -> None:
        job = self._find(group, get.job)
        data = self._store.get(job.key[0], get.digest) if job and get.digest in job.objects else None
        if data is None:
            self._out.worker(route, Failure(code="missing", message="there is no such object", digest=get.digest))
        else:
            self._out.worker(route, Chunk(digest=get.digest, size=len(data)), data)

    def _find(self, group: Group, wire_id: str) -> Job | None:
        for key in group.running:
            if _wire_id(self._book.jobs[key]) == wire_id:
                return self._book.jobs[key]
        return None

    def _event(self, job: Job, event: Event, payload: Buffer | None = None) -> None:
        """Pass on what happens to a job or a part of it, in the words of the job."""
        whole = self._book.whole(job)
        row = event.row + getattr(job.request, "first", 0)
        told = msgspec.structs.replace(event, job=whole.key[1], attempt=whole.attempt, row=row)
        self._out.clients(whole.followers, msgspec.structs.replace(told, buffers=()), payload)

    def _fail(self, job: Job, code: str, message: str, worker: str = "") -> None:
        """Tell the end of a job that ended badly, or settle the job of which it is a part."""
        self._book.note(job)
        job.failure = Failure(code=code, message=message, job=self._book.whole(job).key[1], worker=worker)
        if job.parent:
            self._settled(job, time.monotonic())
        else:
            self._out.clients(job.followers, job.failure)

    def _tell_lost(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._spool.discard(self._incoming(job))
            if job.state == "cancelled":
                self._fail(job, "cancelled", "the job was cancelled")
            elif job.state == "failed":
                text = f"the worker died {job.strikes} times while it ran this job alone; it will not be tried again"
                if job.strikes < STRIKES:
                    text = f"no worker could be given this job in {job.astray} attempts; make it smaller"
                self._fail(job, "poison", text)
            elif not job.parent:
                self._out.clients(job.followers, Event(job=job.key[1], attempt=job.attempt + 1, seq=0, part="restart"))

    def _fail_waiting(self, model: str, trouble: str) -> None:
        failed = all(g.state == "failed" for g in self._book.groups.values() if g.model == model)
        if not failed or time.monotonic() - self._started < _SPOKEN:
            return
        for job in self._book.waiting_for(model):
            if job.state == "queued":
                self._book.fail(job, time.monotonic())
                self._fail(job, "model_failed", trouble)


def _wire_id(job: Job) -> str:
    """Workers see the number of a job, so that ids of different users never meet."""
    return f"{job.number:012d}"
