"""The dictionaries of one training as a rank has them: some whole, of the large ones its share."""

import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ...data.training import Reached
from ...program.dictionaries import Recipe, of_rate
from ..ranks import Ranks
from .shards import WHOLE, Shard
from .states import from_tensors, shared_out, to_tensors
from .trainer import Trainer, begin

#: The owner of a dictionary that every rank has a share of.
EVERY = -1
#: Seconds that a rank learns before others may have their turn.
_MOMENT = 0.02

Rows = Mapping[tuple[str, int], Tensor]


class Cohort:
    """Trainers by the number of their recipe: first those that all ranks share, then this rank's own. `fault` says why they cannot go
    on, `memory_fault` whether for want of memory."""

    def __init__(self, recipes: Sequence[Recipe], owners: Sequence[int], ranks: Ranks, device: torch.device) -> None:
        numbered = [(number, owner) for number, owner in enumerate(owners) if owner in (EVERY, ranks.rank)]
        self._shards = {
            n: Shard(ranks) if owner == EVERY else WHOLE for n, owner in sorted(numbered, key=lambda o: o[1])
        }
        self._recipes, self._device = recipes, device
        self._trainers: dict[int, Trainer] = {}
        self._seconds: dict[int, float] = {}
        self._steps: Iterator[bool] = iter(())
        self.fault, self.memory_fault = "", False

    @property
    def shares(self) -> bool:
        """Whether some of it is shared, so that all ranks take steps together."""
        return any(not shard.whole for shard in self._shards.values())

    def begin(self, rows: Rows) -> None:
        """Begin from a first slice. Raises RequestError for rows that nothing can be learned from."""
        for number, shard in self._shards.items():
            self._trainers[number] = begin(
                self._recipes[number], *_pair(self._recipes[number], rows), self._device, shard
            )

    def resume(self, states: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Begin from what was reached, by the numbers of the recipes."""
        for number, shard in self._shards.items():
            state = from_tensors(shared_out(states[number], shard), self._device)
            self._trainers[number] = Trainer(self._recipes[number], state, shard)

    def take(self, rows: Rows) -> None:
        """What is to be learned from next."""
        self._seconds = dict.fromkeys(self._trainers, 0.0)
        self._steps = _learn(self._trainers, self._seconds, rows)

    def go(self) -> bool:
        """Learn for a moment: a batch of a dictionary that is shared, some of one that is not. Whether there may be more to learn."""
        until = time.perf_counter() + _MOMENT
        return any(shared or time.perf_counter() > until for shared in self._steps)

    def reached(self) -> dict[int, Reached]:
        """How each does."""
        return {number: _reached(one, self._seconds.get(number, 0.0)) for number, one in self._trainers.items()}

    def states(self) -> dict[int, dict[str, Tensor]]:
        """All that each has come to, of those that are shared what is here."""
        return {number: to_tensors(one.state) for number, one in self._trainers.items()}


def _learn(trainers: Mapping[int, Trainer], seconds: dict[int, float], rows: Rows) -> Iterator[bool]:
    """Batch by batch, one trainer after another; whether it was a batch of one that is shared. What each takes is added to its
    `seconds`."""
    for number, trainer in trainers.items():
        if trainer.over or not rows:
            continue
        begun = time.perf_counter()
        for _ in trainer.learn(*_pair(trainer.recipe, rows)):
            seconds[number] += time.perf_counter() - begun
            yield not trainer.shard.whole
            begun = time.perf_counter()


def _pair(recipe: Recipe, rows: Rows) -> tuple[Tensor, Tensor | None]:
    x = rows[recipe.site, recipe.layer]
    return x, None if recipe.site_out is None else rows[recipe.site_out, recipe.written_layer]


def _reached(trainer: Trainer, seconds: float) -> Reached:
    state, recipe, fvu = trainer.state, trainer.recipe, trainer.tally.fvu
    return Reached(
        seen=state.seen,
        fvu=fvu if fvu == fvu else None,
        l0=trainer.l0(),
        dead=trainer.dead_share(),
        window=recipe.window,
        rate=trainer.rate * of_rate(recipe, state.seen),
        seconds=seconds,
    )
