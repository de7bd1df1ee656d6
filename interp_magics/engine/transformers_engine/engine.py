"""The reference engine: tasks in, outcomes out, their rows sharing passes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

import torch

from ...errors import Cancelled, RequestError
from ...program.cards import ModelCard
from ...program.language import Copy, Program
from ...program.supports import check
from ..protocol import (
    DEVICE_FAULTS,
    GradientReading,
    HeldRow,
    Host,
    Outcome,
    OutOfStep,
    Quiet,
    Reading,
    RowOutcome,
    Task,
    out_of_memory,
)
from ..ranks import Ranks
from ..tokens import Encoded, Tokens
from . import calls
from .batch import BatchRow, prefill_pass
from .gradients import Differentiated, Wanted
from .held import covered, held_rows, reread
from .loop import Runner
from .plan import (
    BoundStage,
    Kept,
    bind_stage,
    clean_length,
    encode_rows,
    fetcher,
    generated,
    place_edits,
    place_on,
)
from .prefill import best_cut
from .reading import Part, Reader
from .tape import Tape


@dataclass
class _Running:
    """A task on its way through its stages."""

    number: int
    program: Program
    encoded: list[Encoded]
    task: Task
    kept: dict[str, Kept] = field(default_factory=dict)
    readings: list[tuple[Reading, ...]] = field(default_factory=list)
    gradients: list[tuple[GradientReading, ...]] = field(default_factory=list)
    rows: dict[int, BatchRow] = field(default_factory=dict)
    error: RequestError | None = None

    def row_outcomes(self) -> tuple[RowOutcome, ...]:
        """The rows as they are now."""
        rows = []
        for number in sorted(self.rows):
            row = self.rows[number]
            read_ids = (*row.encoded.ids, *row.completion[:-1])
            rows.append(RowOutcome(number, read_ids, row.prompt_length, tuple(row.completion), row.finish))
        return tuple(rows)

    def outcome(self) -> Outcome:
        rows = self.row_outcomes()
        return Outcome(
            rows,
            tuple(self.readings),
            tuple(self.gradients),
            held_rows(self.program.stages[-1], rows, self.kept),
        )


class TransformersEngine:
    """Runs programs on one loaded model. On several ranks each has one of these: `run` and `reread` are called at rank 0,
    and `follow` does the same at the others."""

    def __init__(self, runner: Runner, card: ModelCard) -> None:
        self._runner, self.card = runner, card

    @property
    def tokens(self) -> Tokens:
        return self._runner.tokens

    def run(self, tasks: Sequence[Task], host: Host) -> list[Outcome | Exception]:
        """Run the programs, sharing passes between them; a fault of one is the result of that one alone."""
        if self._runner.ranks.size == 1:
            return self._run(tasks, host)
        results: list[Outcome | Exception | None] = [None] * len(tasks)
        ready: dict[int, Task] = {}
        for number, task in enumerate(tasks):
            try:
                ready[number] = Task(task.program, calls.carried(task.program, task.objects))
            except Exception as error:
                results[number] = error
        if ready:
            calls.send(self._runner.ranks, list(ready.values()))
            there = _Leading(host, list(ready), self._runner.ranks)
            for number, result in zip(ready, self._run(list(ready.values()), there), strict=True):
                results[number] = result
        return [r for r in results if r is not None]

    def follow(self) -> None:
        """Do what rank 0 does, until it ends the group's work."""
        while call := calls.receive(self._runner.ranks):
            if call.held is None:
                self._run(call.tasks, _Following(self))
            else:
                self._follow_reread(call.tasks[0], call.held)

    def end(self) -> None:
        """Let the other ranks go."""
        if self._runner.ranks.size > 1:
            calls.end(self._runner.ranks)

    def _run(self, tasks: Sequence[Task], host: Host) -> list[Outcome | Exception]:
        results: list[Outcome | Exception | None] = [None] * len(tasks)
        running: list[_Running] = []
        for number, task in enumerate(tasks):
            try:
                check(task.program, self.card)
                running.append(_Running(number, task.program, encode_rows(task.program, self.tokens, self.card), task))
            except Exception as error:
                results[number] = error
        stage = 0
        while running:
            bound: list[tuple[_Running, BoundStage]] = []
            for one in running:
                try:
                    plan = one.program.stages[stage]
                    bound.append(
                        (
                            one,
                            bind_stage(
                                plan, one.encoded, self.card, fetcher(one.task.objects, one.kept, self._runner.device)
                            ),
                        )
                    )
                except Exception as error:
                    results[one.number] = error
            self._run_stage(bound, stage, host, results)
            stage += 1
            running = [one for one, _ in bound if results[one.number] is None and len(one.program.stages) > stage]
        return [Cancelled("the job was cancelled") if r is None else r for r in results]

    def reread(self, task: Task, held: HeldRow) -> Outcome | None:
        """Answer a program of one row from what was kept of that row; None when it needs a pass."""
        check(task.program, self.card)
        runner = self._runner
        if runner.ranks.size > 1:
            task = Task(task.program, calls.carried(task.program, task.objects))
        (encoded,) = encode_rows(task.program, self.tokens, self.card)
        with torch.inference_mode():
            found = covered(task, held, encoded, self.card, runner.readout)
            if found is None:
                return None
            calls.send(runner.ranks, [task], held)
            try:
                return reread(found, held, runner.readout)
            except Exception as error:
                raise self._out_of_step(error) from error

    def _follow_reread(self, task: Task, held: HeldRow) -> None:
        (encoded,) = encode_rows(task.program, self.tokens, self.card)
        with torch.inference_mode():
            found = covered(task, held, encoded, self.card, self._runner.readout)
            if found is None:
                raise OutOfStep("rank 0 answers from a held row, this rank cannot")
            reread(found, held, self._runner.readout)

    def _out_of_step(self, error: Exception) -> Exception:
        """A fault as what it means here: with other ranks, that they may not have had it."""
        if self._runner.ranks.size == 1 or isinstance(error, RequestError | OutOfStep):
            return error
        return OutOfStep(f"{type(error).__name__}: {error}")

    def _run_stage(
        self,
        bound: list[tuple[_Running, BoundStage]],
        stage: int,
        host: Host,
        results: list[Outcome | Exception | None],
    ) -> None:
        for batch in self._batches(bound, stage):
            error = self._try_batch(batch, stage, host)
            if out_of_memory(error) and len(batch) == 1 and batch[0][1].gradients:
                error = self._try_batch(batch, stage, host, sparing=True)
            if error is not None and len(batch) > 1:
                for alone in batch:
                    self._run_stage([alone], stage, host, results)
                continue
            for one, _ in batch:
                if error is not None:
                    results[one.number] = error
                elif one.error is not None:
                    results[one.number] = one.error
                elif any(row.finish == "overflow" for row in one.rows.values()):
                    results[one.number] = RequestError(
                        "the logits are not finite, so nothing follows; an edit is too large"
                    )
                elif any(row.finish == "cancelled" for row in one.rows.values()):
                    results[one.number] = Cancelled("the job was cancelled while it ran")
                elif stage + 1 == len(one.program.stages):
                    results[one.number] = one.outcome()

    def _try_batch(
        self, batch: list[tuple[_Running, BoundStage]], stage: int, host: Host, sparing: bool = False
    ) -> Exception | None:
        """Run a batch; what went wrong, without the frames that would keep its memory alive.

        A fault of the whole device is raised: nothing more can be computed in this process. So is a fault that another
        rank may not have had: the ranks are out of step.
        """
        try:
            self._run_batch(batch, stage, host, sparing)
        except Exception as error:
            meant = self._out_of_step(error)
            if isinstance(meant, DEVICE_FAULTS):
                raise meant from error
            for one, _ in batch:
                del one.readings[stage:], one.gradients[stage:]
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return error if len(batch) == 1 else error.with_traceback(None)
        return None

    def _batches(
        self, bound: list[tuple[_Running, BoundStage]], stage: int
    ) -> Iterator[list[tuple[_Running, BoundStage]]]:
        """Tasks that fit one batch together; apart are those that a batch treats differently."""
        kinds = [_kind(*pair, stage) for pair in bound]
        for kind in _Kind:
            batch: list[tuple[_Running, BoundStage]] = []
            rows = width = 0
            alike = [pair for pair, its in zip(bound, kinds, strict=True) if its is kind]
            most_rows, most_tokens = _ROOM[kind]
            for one, plan in sorted(alike, key=lambda pair: _width(pair[0])):
                grown, wide = rows + len(plan.rows), max(width, _width(one))
                if batch and (grown > most_rows or grown * wide > most_tokens):
                    yield batch
                    batch, grown, wide = [], len(plan.rows), _width(one)
                batch.append((one, plan))
                rows, width = grown, wide
            if batch:
                yield batch

    def _run_batch(self, batch: list[tuple[_Running, BoundStage]], stage: int, host: Host, sparing: bool) -> None:
        rows: list[BatchRow] = []
        parts: list[Part] = []
        for one, plan in batch:
            place: dict[int, int] = {}
            for number in plan.rows:
                place[number] = len(rows)
                sampling = one.program.rows[number].sampling if stage + 1 == len(one.program.stages) else None
                one.rows[number] = BatchRow(one.number, number, one.encoded[number], sampling, [])
                rows.append(one.rows[number])
            parts.append(Part(one.number, plan, one.rows, place))
        tape = Tape(self._runner.arch, rows, self._runner.ranks)
        for part in parts:
            place_on(tape, part.stage, part.place)
        running = {one.number: one for one, _ in batch}

        def tell(task: int, readings: tuple[Reading, ...]) -> None:
            host.decoded(task, running[task].row_outcomes(), readings)

        reader = Reader(tape, parts, self._runner.readout, tell)
        kind = _kind(*batch[0], stage)
        if any(plan.taps for _, plan in batch) or any(row.sampling for row in rows):
            eager = kind is _Kind.PATTERNS
            with self._runner.attention(eager):
                cut = best_cut(*_beginnings(batch)) if kind is _Kind.SHARING else None
                there = _Undisturbed(host) if eager else host
                self._runner.run(rows, tape, there, reader.passed, cut, reader.most_tokens)
        self._differentiate(batch, [part.place for part in parts], rows, sparing)
        with torch.inference_mode():
            for (one, _), part in zip(batch, parts, strict=True):
                if all(row.finish not in ("cancelled", "overflow") for row in one.rows.values()):
                    try:
                        last = stage + 1 == len(one.program.stages)
                        one.readings.append(reader.collect(part, one.kept, last))
                    except RequestError as fault:
                        one.error = fault

    def _differentiate(
        self,
        batch: list[tuple[_Running, BoundStage]],
        places: list[Mapping[int, int]],
        rows: list[BatchRow],
        sparing: bool,
    ) -> None:
        """Take the gradients of a stage: a pass with a graph for all that freeze the same."""
        found: list[list[GradientReading | None]] = [[None] * len(plan.gradients) for _, plan in batch]
        wanted = [(t, g) for t, (_, plan) in enumerate(batch) for g in range(len(plan.gradients))]
        for freeze in dict.fromkeys(batch[t][1].gradients[g].gradient.freeze for t, g in wanted):
            alike = [(t, g) for t, g in wanted if batch[t][1].gradients[g].gradient.freeze == freeze]
            tape = Tape(self._runner.arch, rows, self._runner.ranks)
            for (_, plan), place in zip(batch, places, strict=True):
                place_edits(tape, plan, place)
            passed = Differentiated(self._runner, rows, tape, prefill_pass(rows), sparing)
            given = [Wanted(batch[t][1].gradients[g], places[t], batch[t][0].kept) for t, g in alike]
            for (t, g), reading in zip(alike, passed.run(given), strict=True):
                found[t][g] = reading
        for (one, _), readings in zip(batch, found, strict=True):
            one.gradients.append(tuple(reading for reading in readings if reading is not None))


class _Leading:
    """The host at rank 0: its tasks have numbers of their own, and the other ranks are told when a pause is over."""

    def __init__(self, host: Host, numbers: list[int], ranks: Ranks) -> None:
        self._host, self._numbers, self._ranks = host, numbers, ranks

    def cancelled(self, task: int) -> bool:
        return self._host.cancelled(self._numbers[task])

    def generated(self, task: int, row: int, completion: Sequence[int]) -> None:
        self._host.generated(self._numbers[task], row, completion)

    def decoded(self, task: int, rows: Sequence[RowOutcome], readings: Sequence[Reading]) -> None:
        self._host.decoded(self._numbers[task], rows, readings)

    def waiting(self) -> bool:
        return self._host.waiting()

    def pause(self) -> None:
        self._host.pause()
        calls.end(self._ranks)


class _Undisturbed(Quiet):
    """A host that lets nothing in between: the model's attention is not its usual one."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def cancelled(self, task: int) -> bool:
        return self._host.cancelled(task)

    def generated(self, task: int, row: int, completion: Sequence[int]) -> None:
        self._host.generated(task, row, completion)

    def decoded(self, task: int, rows: Sequence[RowOutcome], readings: Sequence[Reading]) -> None:
        self._host.decoded(task, rows, readings)


class _Following(Quiet):
    """The host at the other ranks: in a pause they do what rank 0 does."""

    def __init__(self, engine: "TransformersEngine") -> None:
        self._engine = engine

    def pause(self) -> None:
        self._engine.follow()


class _Kind(Enum):
    """How a batch runs. Rows that read attention patterns need eager attention; rows that are differentiated hold their
    graph; rows of a sweep share the beginnings of their prompts."""

    PLAIN = auto()
    SHARING = auto()
    PATTERNS = auto()
    GRADIENTS = auto()


#: Rows of a batch, and rows times padded width; more tasks than fit run one batch after another.
_ROOM = {
    _Kind.PLAIN: (64, 16384),
    _Kind.SHARING: (256, 65536),
    _Kind.PATTERNS: (64, 16384),
    _Kind.GRADIENTS: (64, 4096),
}


def _kind(one: _Running, plan: BoundStage, stage: int) -> _Kind:
    asked = one.program.stages[stage]
    if asked.gradients:
        return _Kind.GRADIENTS
    if any(tap.site == "attn_pattern" for tap in asked.taps):
        return _Kind.PATTERNS
    copies = any(isinstance(edit.op, Copy) for edit in asked.edits)
    alone = len(plan.rows) < 2 or copies
    return _Kind.PLAIN if alone or best_cut(*_beginnings([(one, plan)])) is None else _Kind.SHARING


def _beginnings(batch: Sequence[tuple[_Running, BoundStage]]) -> tuple[list[tuple[int, ...]], list[int]]:
    """The prompt of every row of a batch, and how much of it no edit touches."""
    rows = [(one.encoded[row].ids, plan, row) for one, plan in batch for row in plan.rows]
    return [ids for ids, _, _ in rows], [clean_length(plan, row, len(ids)) for ids, plan, row in rows]


def _width(one: _Running) -> int:
    return max(len(e.ids) + generated(r) for e, r in zip(one.encoded, one.program.rows, strict=True))
