"""One run of the engine: batches of tasks, stage by stage, each task told of as it ends."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...program.cards import ModelCard
from ...program.supports import check
from ..execution.plan import BoundStage, bind_stage, encode_rows, fetcher
from ..execution.running import Running
from ..memory import out_of_memory
from ..protocol import DEVICE_FAULTS, Host, Task
from ..ranks import out_of_step
from .gathering import Room, batches
from .loop import Runner
from .together import Bound, Newcomers, Together


class Course:
    """The tasks of one run, those that join it included; they are numbered in the order in which they come."""

    def __init__(self, runner: Runner, card: ModelCard, host: Host) -> None:
        self._runner, self._card, self._host = runner, card, host
        self._come = 0

    def run(self, tasks: Sequence[Task]) -> None:
        """Run the tasks; the host is told of each as it ends. Others join the last batch alone: as long as they come, it goes
        on, and nobody may wait for that."""
        going = self._begin(tasks)
        while going:
            bound = self._bind(going)
            made = list(batches(bound))
            for place, batch in enumerate(made, 1):
                last = place == len(made) and all(one.last for one, _ in bound)
                self._run_batch(batch, self._newcomers if last else None)
            going = [one for one, _ in bound if not one.ended]

    def _begin(self, tasks: Sequence[Task]) -> list[Running]:
        begun = []
        for number, task in enumerate(tasks, self._come):
            try:
                check(task.program, self._card)
                encoded = encode_rows(task.program, self._runner.tokens, self._card)
                begun.append(Running(number, task.program, encoded, task))
            except Exception as error:
                self._host.finished(number, self._own(error))
        self._come += len(tasks)
        return begun

    def _bind(self, going: Sequence[Running]) -> list[Bound]:
        bound: list[tuple[Running, BoundStage]] = []
        for one in going:
            fetch = fetcher(one.task.objects, one.kept, self._runner.device)
            try:
                bound.append((one, bind_stage(one.asked, one.encoded, self._card, fetch)))
            except Exception as error:
                self._fail(one, self._own(error))
        return bound

    def _fail(self, one: Running, error: Exception) -> None:
        one.end()
        self._host.finished(one.number, error)

    def _newcomers(self, room: Room) -> list[Bound]:
        return self._bind(self._begin(self._host.joining(room)))

    def _own(self, error: Exception) -> Exception:
        """A fault that is a task's own. One that another rank may not have had is raised: the ranks are out of step."""
        meant = out_of_step(error, self._runner.ranks)
        if isinstance(meant, DEVICE_FAULTS):
            raise meant from error
        return error

    def _run_batch(self, batch: Sequence[Bound], newcomers: Newcomers | None) -> None:
        """Run a batch and what joins it; after a fault each of its tasks alone, so that one fails and no other."""
        failed = self._try(batch, newcomers)
        if failed is None:
            return
        for task in failed.left:
            self._run_alone(task, None if failed.shared else failed.error)

    def _run_alone(self, task: Bound, error: Exception | None) -> None:
        """Run a task in a batch of its own, unless that has ended in `error` already. A gradient is tried with less memory."""
        one, plan = task
        if error is None:
            error = self._alone(task)
        if out_of_memory(error) and plan.gradients:
            error = self._alone(task, sparing=True)
        if error is not None:
            self._fail(one, error)

    def _alone(self, task: Bound, sparing: bool = False) -> Exception | None:
        failed = self._try([task], None, sparing)
        return None if failed is None else failed.error

    def _try(self, batch: Sequence[Bound], newcomers: Newcomers | None, sparing: bool = False) -> "_Failed | None":
        """Run a batch; what went wrong, without the batch and the frames that would keep its memory alive.

        A fault of the whole device is raised: nothing more can be computed in this process.
        """
        together = Together(self._runner, self._host, batch, newcomers)
        try:
            together.run(sparing)
        except Exception as error:
            self._own(error)
            left, shared = together.left, together.shared
            for one, _ in left:
                one.restart()
            del together
            lean = shared or out_of_memory(error)
            failed = _Failed(error.with_traceback(None) if lean else error, left, shared)
        else:
            return None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return failed


@dataclass(frozen=True)
class _Failed:
    """A batch that ended in an error, the tasks that it leaves, and whether it was shared by several."""

    error: Exception
    left: list[Bound]
    shared: bool
