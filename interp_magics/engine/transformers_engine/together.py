"""Tasks whose rows share passes, until each of them has ended."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

from ...errors import Cancelled, RequestError
from ...program.operations import Copy
from ..execution.batch import BatchRow, Pass, prefill_pass
from ..execution.plan import BoundStage, place_edits, place_on
from ..execution.reading import Part, Reader
from ..execution.running import Running
from ..execution.tape import Tape
from ..protocol import GradientReading, Host, Reading
from .gathering import Kind, Room, beginnings, kind_of, width
from .gradients import Differentiated, Wanted
from .loop import Group, Runner
from .prefill import best_cut

Bound = tuple[Running, BoundStage]
Newcomers = Callable[[Room], Sequence[Bound]]

#: Rows of a batch, those that have ended included, after which nothing joins: what is known of each is held to the end.
_MOST_ROWS = 4096
_WHOLE = 1 << 40


class Together:
    """Rows of several tasks in one batch. A task is done with its stage as soon as its rows have ended, others may join.

    `newcomers` gives the tasks that join now, bound; None when nothing may. Attention that returns its patterns is the
    model's own, and a graph needs all rows at once: there nothing comes in between, or nothing joins.
    """

    def __init__(
        self,
        runner: Runner,
        host: Host,
        first: Sequence[Bound],
        newcomers: Newcomers | None,
    ) -> None:
        self._runner, self._host, self._newcomers = runner, host, newcomers
        self._kind = kind_of(*first[0])
        self.rows: list[BatchRow] = []
        self.tape = Tape(runner.arch, self.rows, runner.ranks)
        self._going: dict[int, tuple[Running, Part]] = {}
        # Not a method of this object, which would then live, and its tape with it, until cycles are looked for.
        self._reader = Reader(self.tape, runner.readout, partial(_tell, host, self._going))
        self._first = self._add(first)

    @property
    def lends(self) -> bool:
        return self._kind is not Kind.PATTERNS

    @property
    def joins(self) -> bool:
        open_to = self._newcomers is not None and len(self.rows) < _MOST_ROWS
        return open_to and self._kind in (Kind.PLAIN, Kind.SHARING)

    @property
    def most(self) -> int:
        copies = any(isinstance(edit.op, Copy) for one, _ in self._going.values() for edit in one.asked.edits)
        # A copy's source and target must be in one pass.
        return _WHOLE if copies else self._reader.most_tokens

    @property
    def left(self) -> list[Bound]:
        """The tasks that are not done with their stage."""
        return [(one, part.stage) for one, part in self._going.values()]

    @property
    def shared(self) -> bool:
        """Whether more tasks were in the batch than one."""
        return len({row.task for row in self.rows}) > 1

    def run(self, sparing: bool = False) -> None:
        """Run all tasks to the end of their stage."""
        tasks = list(self._going.values())
        if any(part.stage.taps for _, part in tasks) or any(row.sampling for row in self.rows):
            with self._runner.attention(self._kind is Kind.PATTERNS):
                self._runner.run(self, self._first, self._host)
        if self._kind is Kind.GRADIENTS:
            self._differentiate(tasks, sparing)
        with torch.inference_mode():
            for number in list(self._going):
                self._end(number)

    def passed(self, call: Pass) -> None:
        self._reader.passed(call)

    def stepped(self) -> None:
        if self._kind is Kind.GRADIENTS:
            return
        for number, (_, part) in list(self._going.items()):
            if all(row.over for row in part.rows.values()):
                self._end(number)

    def join(self) -> Group | None:
        assert self._newcomers is not None
        going = [row for _, part in self._going.values() for row in part.rows.values() if not row.over]
        widest = max((width(one.encoded, one.program) for one, _ in self._going.values()), default=0)
        bound = self._newcomers(Room(len(going), widest, self._runner.tokens))
        return self._add(bound) if bound else None

    def _add(self, bound: Sequence[Bound]) -> Group:
        begin = len(self.rows)
        for one, plan in bound:
            place: dict[int, int] = {}
            for number in plan.rows:
                place[number] = len(self.rows)
                sampling = one.program.rows[number].sampling if one.last else None
                one.rows[number] = BatchRow(one.number, number, one.encoded[number], sampling, [])
                self.rows.append(one.rows[number])
            part = Part(one.number, plan, {number: one.rows[number] for number in plan.rows}, place)
            self._going[one.number] = one, part
        for one, plan in bound:
            part = self._going[one.number][1]
            place_on(self.tape, plan, part.place)
            self._reader.add(part)
        shares = all(kind_of(*pair) is Kind.SHARING for pair in bound)
        return Group(tuple(range(begin, len(self.rows))), best_cut(*beginnings(bound)) if shares else None)

    def _end(self, number: int) -> None:
        """A task is done with its stage: read what its taps read, then forget it."""
        one, part = self._going[number]
        result = self._result(one, part)
        del self._going[number]
        self._reader.forget(part)
        if self._going or self.joins:
            self.tape.forget(part.place.values())
        if result is None and not one.last:
            one.stage += 1
            return
        self._host.finished(number, one.outcome() if result is None else result)
        one.end()

    def _result(self, one: Running, part: Part) -> Exception | None:
        ends = {row.finish for row in part.rows.values()}
        if "overflow" in ends:
            return RequestError("the logits are not finite, so nothing follows; an edit is too large")
        if "cancelled" in ends:
            return Cancelled("the job was cancelled while it ran")
        try:
            one.readings.append(self._reader.collect(part, one.kept, one.last))
        except RequestError as fault:
            return fault
        if self._kind is not Kind.GRADIENTS:
            one.gradients.append(())
        return None

    def _differentiate(self, tasks: Sequence[tuple[Running, Part]], sparing: bool) -> None:
        """Take the gradients of a stage: a pass with a graph for all that freeze the same."""
        found: list[list[GradientReading | None]] = [[None] * len(part.stage.gradients) for _, part in tasks]
        wanted = [(t, g) for t, (_, part) in enumerate(tasks) for g in range(len(part.stage.gradients))]
        for freeze in dict.fromkeys(tasks[t][1].stage.gradients[g].gradient.freeze for t, g in wanted):
            alike = [(t, g) for t, g in wanted if tasks[t][1].stage.gradients[g].gradient.freeze == freeze]
            tape = Tape(self._runner.arch, self.rows, self._runner.ranks)
            for _, part in tasks:
                place_edits(tape, part.stage, part.place)
            passed = Differentiated(self._runner, self.rows, tape, prefill_pass(self.rows), sparing)
            given = [Wanted(tasks[t][1].stage.gradients[g], tasks[t][1].place, tasks[t][0].kept) for t, g in alike]
            for (t, g), reading in zip(alike, passed.run(given), strict=True):
                found[t][g] = reading
        for (one, _), readings in zip(tasks, found, strict=True):
            one.gradients.append(tuple(reading for reading in readings if reading is not None))


def _tell(host: Host, going: Mapping[int, tuple[Running, Part]], task: int, readings: tuple[Reading, ...]) -> None:
    host.decoded(task, going[task][0].row_outcomes(), readings)
