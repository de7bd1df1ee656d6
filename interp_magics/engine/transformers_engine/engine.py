"""The reference engine: tasks in, outcomes out, their rows sharing passes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...program.cards import ModelCard
from ...program.supports import check
from ..protocol import HeldRow, Host, Outcome, OutOfStep, Task
from ..tokens import Tokens
from . import calls
from .course import Course, out_of_step
from .effects import effects
from .held import covered, reread
from .hosts import Following, Leading
from .loop import Runner
from .plan import encode_rows


class TransformersEngine:
    """Runs programs on one loaded model. On several ranks each has one of these: `run` and `reread` are called at rank 0,
    and `follow` does the same at the others."""

    def __init__(self, runner: Runner, card: ModelCard) -> None:
        self._runner, self.card = runner, card

    @property
    def tokens(self) -> Tokens:
        return self._runner.tokens

    @property
    def device(self) -> torch.device:
        return self._runner.readout.weight.device

    def run(self, tasks: Sequence[Task], host: Host) -> None:
        """Run the programs, sharing passes between them; a fault of one is the result of that one alone."""
        if self._runner.ranks.size == 1:
            Course(self._runner, self.card, host).run(tasks)
            return
        leading = Leading(host, self._runner.ranks)
        if ready := leading.ready(tasks):
            calls.send(self._runner.ranks, ready)
            Course(self._runner, self.card, leading).run(ready)

    def follow(self) -> None:
        """Do what rank 0 does, until it ends the group's work."""
        while call := calls.receive(self._runner.ranks):
            if call.directions is not None:
                with torch.inference_mode():
                    effects(call.directions, self._runner.readout, call.effects)
            elif call.held is None:
                Course(self._runner, self.card, Following(self._runner.ranks, self.follow)).run(call.tasks)
            else:
                self._follow_reread(call.tasks[0], call.held)

    def effects(self, directions: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The tokens that directions of the stream promote and suppress directly; as `effects.effects`."""
        calls.send_directions(self._runner.ranks, directions, k)
        with torch.inference_mode():
            return effects(directions, self._runner.readout, k)

    def end(self) -> None:
        """Let the other ranks go."""
        if self._runner.ranks.size > 1:
            calls.end(self._runner.ranks)

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
                raise out_of_step(error, runner.ranks) from error

    def _follow_reread(self, task: Task, held: HeldRow) -> None:
        (encoded,) = encode_rows(task.program, self.tokens, self.card)
        with torch.inference_mode():
            found = covered(task, held, encoded, self.card, self._runner.readout)
            if found is None:
                raise OutOfStep("rank 0 answers from a held row, this rank cannot")
            reread(found, held, self._runner.readout)
