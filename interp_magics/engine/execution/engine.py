"""What every engine does alike: ranks that follow rank 0, rows that are read again, effects of directions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from ...program.cards import ModelCard
from ...program.supports import check
from ..dictionaries.learners import Learners
from ..protocol import HeldRow, Host, Outcome, OutOfStep, Task
from ..ranks import Ranks, out_of_step
from ..readout import Readout
from ..tokens import Tokens
from . import calls
from .effects import effects
from .held import covered, reread
from .hosts import Following, Leading
from .plan import encode_rows


class ProgramEngine(ABC):
    """Runs programs on one loaded model. On several ranks each has one of these: `run` and `reread` are called at rank 0,
    and `follow` does the same at the others."""

    def __init__(self, card: ModelCard, tokens: Tokens, readout: Readout) -> None:
        self.card, self.tokens, self._readout = card, tokens, readout
        self.learners = Learners(readout.ranks, lambda: self.device, partial(calls.send_teaching, readout.ranks))

    @abstractmethod
    def execute(self, tasks: Sequence[Task], host: Host) -> None:
        """Run the programs at this rank."""

    @property
    def device(self) -> torch.device:
        return self._readout.weight.device

    @property
    def _ranks(self) -> Ranks:
        return self._readout.ranks

    def run(self, tasks: Sequence[Task], host: Host) -> None:
        """Run the programs, sharing passes between them; a fault of one is the result of that one alone."""
        if self._ranks.size == 1:
            self.execute(tasks, host)
            return
        self.learners.settle()
        leading = Leading(host, self._ranks)
        if ready := leading.ready(tasks):
            calls.send(self._ranks, ready)
            self.execute(ready, leading)

    def follow(self) -> None:
        """Do what rank 0 does, until it ends the group's work."""
        while call := calls.receive(self._ranks):
            if call.teaching is not None:
                self.learners.follow(call.teaching, call.tensors)
            elif call.effects:
                with torch.inference_mode():
                    effects(call.tensors["directions"], self._readout, call.effects)
            elif call.held is None:
                self.execute(call.tasks, Following(self._ranks, self.follow))
            else:
                self._follow_reread(call.tasks[0], call.held)

    def effects(self, directions: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The tokens that directions of the stream promote and suppress directly; as `effects.effects`."""
        calls.send_directions(self._ranks, directions, k)
        with torch.inference_mode():
            try:
                return effects(directions, self._readout, k)
            except Exception as error:
                raise out_of_step(error, self._ranks) from error

    def figures(self) -> Mapping[str, float]:
        """What the engine says of itself while it runs, for those who watch the pool."""
        return {}

    def end(self) -> None:
        """Let the other ranks go."""
        if self._ranks.size > 1:
            calls.end(self._ranks)

    def close(self) -> None:
        """Let go of what is not this process's own."""
        return

    def reread(self, task: Task, held: HeldRow) -> Outcome | None:
        """Answer a program of one row from what was kept of that row; None when it needs a pass."""
        check(task.program, self.card)
        if self._ranks.size > 1:
            task = Task(task.program, calls.carried(task.program, task.objects))
        (encoded,) = encode_rows(task.program, self.tokens, self.card)
        with torch.inference_mode():
            found = covered(task, held, encoded, self.card, self._readout)
            if found is None:
                return None
            calls.send(self._ranks, [task], held)
            try:
                return reread(found, held, self._readout)
            except Exception as error:
                raise out_of_step(error, self._ranks) from error

    def _follow_reread(self, task: Task, held: HeldRow) -> None:
        (encoded,) = encode_rows(task.program, self.tokens, self.card)
        with torch.inference_mode():
            found = covered(task, held, encoded, self.card, self._readout)
            if found is None:
                raise OutOfStep("rank 0 answers from a held row, this rank cannot")
            reread(found, held, self._readout)
