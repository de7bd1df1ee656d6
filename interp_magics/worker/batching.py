"""Several jobs as one run of the engine, each answered at its own end; others join them, or run in between."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from ..engine.memory import out_of_memory
from ..engine.protocol import (
    DEVICE_FAULTS,
    Engine,
    Outcome,
    Reading,
    Room,
    RowOutcome,
    Task,
    Wish,
)
from ..errors import Cancelled, RequestError
from ..methods import plans, runs
from ..methods.requests import Request
from ..methods.train.request import TrainRequest
from ..program.texts import guessed_tokens
from ..wire.messages import Assign, Event
from .answers import tell_failure, tell_result, tell_started
from .holdings import Holdings
from .link import Link
from .sizes import check_size
from .vectors import JobObjects

_EVENT_SECONDS = 0.05
#: Jobs predicted to be shorter run between two steps of a longer batch, as long as they take no more than it does.
SHORT_SECONDS = 2.0
#: A step takes longer than its operations say, so a job of more steps is not short whatever is predicted.
SHORT_STEPS = 64
JOBS = 16
_PUMP_SECONDS = 0.0002


@dataclass
class _Entry:
    """A job and where its tasks lie in the run."""

    assign: Assign
    tasks: list[Task]
    first: int = 0
    seq: int = 0
    told: float = 0.0
    results: dict[int, Outcome | Exception] = field(default_factory=dict)


class Batch:
    """The jobs of one run; the engine's host while they run. One that `lends` lets short jobs run between its steps, and
    jobs that generate join it."""

    def __init__(
        self,
        link: Link,
        engine: Engine,
        holdings: Holdings,
        lends: bool = True,
    ) -> None:
        self._link, self._engine, self._holdings = link, engine, holdings
        self._entries: list[_Entry] = []
        self._owner: list[_Entry] = []
        self._pumped = 0.0
        self._began, self._lent, self._lends = time.monotonic(), 0.0, lends
        self._quick: dict[str, bool] = {}
        self._refused: tuple[str, int] | None = None
        self._ended = 0
        self._later: list[tuple[Assign, list[Outcome]]] = []

    def run(self, assigned: Sequence[Assign]) -> None:
        """Run the jobs and answer each of them, whatever happens to the others."""
        for assign in assigned:
            self._add(assign)
        if not self._entries:
            return
        self._start(self._entries)
        self._engine.run([task for entry in self._entries for task in entry.tasks], self)
        for assign, outcomes in self._later:
            self._work(assign, outcomes)

    def _start(self, entries: Sequence[_Entry]) -> None:
        """Say that jobs run; one that needs no pass is answered now."""
        tell_started(self._link, [entry.assign for entry in entries])
        for entry in entries:
            if not entry.tasks:
                self._answer(entry)

    def finished(self, task: int, result: Outcome | Exception) -> None:
        entry = self._owner[task]
        entry.results[task - entry.first] = result
        if len(entry.results) == len(entry.tasks):
            self._ended += 1
            self._answer(entry)
            entry.results.clear()

    def cancelled(self, task: int) -> bool:
        now = time.monotonic()
        if now - self._pumped > _PUMP_SECONDS:
            self._pumped = now
            self._link.pump()
            self._holdings.expire()
        return self._link.stopped(self._owner[task].assign)

    def wish(self, joins: bool) -> Wish:
        """Short jobs run in between, as long as this batch has not lent half of its time already; others join, if their
        turn has come and there may be room."""
        if not self._lends or not self._link.assigned:
            return Wish.GO_ON
        if self._may_lend() and self._short():
            return Wish.PAUSE
        return Wish.JOIN if joins and self._next() else Wish.GO_ON

    def joining(self, room: Room) -> Sequence[Task]:
        """The tasks of the jobs whose turn it is, as far as there is room: nobody overtakes."""
        fresh: list[_Entry] = []
        while (assign := self._next()) is not None:
            entry = self._bound(assign)
            if entry is not None and not room.take([task.program for task in entry.tasks]):
                self._refused = assign.job, self._ended
                break
            self._link.assigned.remove(assign)
            if entry is not None:
                self._enter(entry)
                fresh.append(entry)
        if fresh:
            self._start(fresh)
        return [task for entry in fresh for task in entry.tasks]

    def _next(self) -> Assign | None:
        """The first job that waits and does not run in a pause, if it may join; one that found no room tries again when a
        job ends."""
        quick = {assign.job for assign in self._short()} if self._may_lend() else set()
        assign = next((assign for assign in self._link.assigned if assign.job not in quick), None)
        if assign is None or self._refused == (assign.job, self._ended) or plans.kept(assign.request) is not None:
            return None
        return assign

    def _may_lend(self) -> bool:
        return self._lent <= (time.monotonic() - self._began) / 2

    def pause(self) -> None:
        """Run the short jobs that wait."""
        taken = self._short()[:JOBS]
        for assign in taken:
            self._link.assigned.remove(assign)
        started = time.monotonic()
        nested = Batch(self._link, self._engine, self._holdings, False)
        try:
            nested.run(taken)
        except DEVICE_FAULTS:
            raise
        except Exception as error:
            for assign in taken:
                tell_failure(self._link, assign, error)
        self._lent += time.monotonic() - started

    def _short(self) -> list[Assign]:
        for assign in self._link.assigned:
            if assign.job not in self._quick:
                request = assign.request
                quick = plans.new_tokens(request) <= SHORT_STEPS and self._seconds(request) < SHORT_SECONDS
                self._quick[assign.job] = quick
        return [assign for assign in self._link.assigned if self._quick[assign.job]]

    def _seconds(self, request: Request) -> float:
        """What a job will take, if its texts are as long as they look: a token is two characters or more."""
        card = self._engine.card
        try:
            plans.validate(request, card)
        except RequestError:
            return 0.0  # it will be refused when it is looked at, which takes no time
        return plans.cost(request, card, [guessed_tokens(text) for text in plans.texts(request)]).seconds(card)

    def generated(self, task: int, row: int, completion: Sequence[int]) -> None:
        entry, now = self._owner[task], time.monotonic()
        if now - entry.told < _EVENT_SECONDS:
            return
        entry.told, entry.seq = now, entry.seq + 1
        number = row if len(entry.tasks) == 1 else task - entry.first
        sampling = entry.tasks[task - entry.first].program.rows[row].sampling
        event = Event(
            job=entry.assign.job,
            attempt=entry.assign.attempt,
            seq=entry.seq,
            part="generated",
            row=number,
            done=len(completion),
            total=sampling.max_new_tokens if sampling else 0,
            text=self._engine.tokens.decode(completion),
        )
        self._link.send(event)

    def decoded(self, task: int, rows: Sequence[RowOutcome], readings: Sequence[Reading]) -> None:
        entry = self._owner[task]
        number = task - entry.first
        data = runs.partial(entry.assign.request, number, rows, readings, self._engine)
        if data is None or len(data) > self._holdings.limits.inline_bytes:
            return
        entry.seq += 1
        assign = entry.assign
        event = Event(
            job=assign.job, attempt=assign.attempt, seq=entry.seq, part="lens", row=number, done=len(rows[0].token_ids)
        )
        self._link.send(event, data)

    def _add(self, assign: Assign) -> None:
        entry = self._bound(assign)
        if entry is not None and not self._reread(entry.assign, entry.tasks):
            self._enter(entry)

    def _enter(self, entry: _Entry) -> None:
        entry.first = len(self._owner)
        self._entries.append(entry)
        self._owner += [entry] * len(entry.tasks)

    def _bound(self, assign: Assign) -> _Entry | None:
        """A job as tasks; None when it is answered already, by its fault."""
        objects = self._objects(assign)
        try:
            if self._link.stopped(assign):
                raise Cancelled("the job was cancelled before it ran")
            plans.validate(assign.request, self._engine.card)
            assign = msgspec.structs.replace(
                assign, request=self._holdings.scrubbers.cleaned(assign.request, self._engine.tokens)
            )
            check_size(assign.request, self._engine, self._holdings.limits)
            programs = runs.programs(assign.request, self._engine)
        except Exception as error:
            tell_failure(self._link, assign, error)
            return None
        return _Entry(assign, [Task(program, objects) for program in programs])

    def _reread(self, assign: Assign, tasks: Sequence[Task]) -> bool:
        """Whether a follow-up was answered from rows that are held here."""
        handle = plans.kept(assign.request)
        held = None if handle is None else self._holdings.held.find(assign.owner, handle)
        if handle is None or held is None:
            return False
        try:
            outcome = self._engine.reread(tasks[0], held)
        except DEVICE_FAULTS:
            raise
        except Exception as error:
            if out_of_memory(error):
                return False  # a pass is split where memory is short, a decoding is not
            tell_failure(self._link, assign, error)
            return True
        if outcome is None:
            return False
        if seconds := plans.keep(assign.request):
            handle = self._holdings.held.keep(assign.owner, seconds, [held]) or handle
        tell_started(self._link, [assign])
        self._answer(_Entry(assign, list(tasks), results={0: replace(outcome, handles=(handle,))}))
        return True

    def _keep(self, assign: Assign, outcomes: list[Outcome]) -> list[Outcome]:
        """Hold the rows that a request asks to keep; its results say where."""
        seconds = plans.keep(assign.request)
        rows = [row for outcome in outcomes for row in outcome.held]
        handle = self._holdings.held.keep(assign.owner, seconds, rows) if seconds and rows else None
        if handle is None:
            return outcomes
        numbers = iter(range(len(rows)))
        return [
            replace(outcome, handles=tuple(msgspec.structs.replace(handle, row=next(numbers)) for _ in outcome.held))
            for outcome in outcomes
        ]

    def _answer(self, entry: _Entry) -> None:
        try:
            outcomes = []
            for _, result in sorted(entry.results.items()):
                if isinstance(result, Exception):
                    raise result
                outcomes.append(result)
            if runs.works(request := entry.assign.request):
                self._later.append((entry.assign, outcomes))
                return
            data = runs.result(request, self._keep(entry.assign, outcomes), self._engine)
            tell_result(self._link, self._holdings, entry.assign, data)
        except Exception as error:
            tell_failure(self._link, entry.assign, error)

    def _work(self, assign: Assign, outcomes: list[Outcome]) -> None:
        """What takes long after the passes is done when the engine is free; others run between its steps."""
        request, objects = assign.request, self._objects(assign)
        try:
            if isinstance(request, TrainRequest):
                steps = self._holdings.trainings.learn(assign, request, outcomes, self._engine, objects.passing)
            else:
                steps = runs.steps(request, outcomes, self._engine, objects)
            tell_result(self._link, self._holdings, assign, self._walk(assign, steps))
        except DEVICE_FAULTS:
            raise
        except Exception as error:
            tell_failure(self._link, assign, error)

    def _walk(self, assign: Assign, steps: Generator[None, None, bytes]) -> bytes:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                data: bytes = end.value
                return data
            self._link.pump()
            self._holdings.expire()
            if self._link.stopped(assign):
                raise Cancelled("the job was cancelled while it was worked on")
            if self.wish(joins=False) is Wish.PAUSE:
                self.pause()

    def _objects(self, assign: Assign) -> JobObjects:
        return JobObjects(self._holdings.cache, lambda digest: self._link.object(digest, assign.job))
