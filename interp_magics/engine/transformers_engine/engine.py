"""The reference engine: tasks in, outcomes out, their rows sharing passes."""

from collections.abc import Mapping, Sequence

import torch

from ...errors import Cancelled, RequestError
from ...program.cards import ModelCard
from ...program.supports import check
from ..protocol import (
    DEVICE_FAULTS,
    GradientReading,
    HeldRow,
    Host,
    Outcome,
    OutOfStep,
    Reading,
    Task,
    out_of_memory,
)
from ..tokens import Tokens
from . import calls
from .batch import BatchRow, prefill_pass
from .gathering import Kind, batches, beginnings, kind_of
from .gradients import Differentiated, Wanted
from .held import covered, reread
from .hosts import Following, Leading, Undisturbed
from .loop import Runner
from .plan import (
    BoundStage,
    bind_stage,
    encode_rows,
    fetcher,
    place_edits,
    place_on,
)
from .prefill import best_cut
from .reading import Part, Reader
from .running import Running
from .tape import Tape


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
            there = Leading(host, list(ready), self._runner.ranks)
            for number, result in zip(ready, self._run(list(ready.values()), there), strict=True):
                results[number] = result
        return [r for r in results if r is not None]

    def follow(self) -> None:
        """Do what rank 0 does, until it ends the group's work."""
        while call := calls.receive(self._runner.ranks):
            if call.held is None:
                self._run(call.tasks, Following(self.follow))
            else:
                self._follow_reread(call.tasks[0], call.held)

    def end(self) -> None:
        """Let the other ranks go."""
        if self._runner.ranks.size > 1:
            calls.end(self._runner.ranks)

    def _run(self, tasks: Sequence[Task], host: Host) -> list[Outcome | Exception]:
        results: list[Outcome | Exception | None] = [None] * len(tasks)
        running: list[Running] = []
        for number, task in enumerate(tasks):
            try:
                check(task.program, self.card)
                running.append(Running(number, task.program, encode_rows(task.program, self.tokens, self.card), task))
            except Exception as error:
                results[number] = error
        stage = 0
        while running:
            bound: list[tuple[Running, BoundStage]] = []
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
        bound: list[tuple[Running, BoundStage]],
        stage: int,
        host: Host,
        results: list[Outcome | Exception | None],
    ) -> None:
        for batch in batches(bound, stage):
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
        self, batch: list[tuple[Running, BoundStage]], stage: int, host: Host, sparing: bool = False
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

    def _run_batch(self, batch: list[tuple[Running, BoundStage]], stage: int, host: Host, sparing: bool) -> None:
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
        kind = kind_of(*batch[0], stage)
        if any(plan.taps for _, plan in batch) or any(row.sampling for row in rows):
            eager = kind is Kind.PATTERNS
            with self._runner.attention(eager):
                cut = best_cut(*beginnings(batch)) if kind is Kind.SHARING else None
                there = Undisturbed(host) if eager else host
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
        batch: list[tuple[Running, BoundStage]],
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
