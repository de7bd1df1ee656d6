"""Trainings that go on from slice to slice: held by this process, for their owners, until nobody has come for a while."""

import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..engine.dictionaries.trainer import Trainer
from ..engine.protocol import Engine, Outcome
from ..errors import RequestError
from ..methods.train import run
from ..methods.train.request import TrainRequest
from ..wire.messages import Assign

#: Seconds that a training is held without a new slice.
IDLE = 900.0


class TrainingLost(Exception):
    """This process does not hold what a slice goes on from."""


@dataclass(frozen=True)
class _Held:
    """Trainers that wait for slice `slice`, since `since`."""

    trainers: Sequence[Trainer]
    slice: int
    since: float

    @property
    def nbytes(self) -> int:
        return 3 * sum(int(value.nbytes) for trainer in self.trainers for value in trainer.state.weights.values())


class Trainings:
    """What this process holds, up to `most_bytes`: those that were used longest ago make room."""

    def __init__(self, epoch: str, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._epoch, self._most_bytes, self._clock = epoch, most_bytes, clock
        self._held: OrderedDict[tuple[str, str], _Held] = OrderedDict()

    def learn(
        self,
        assign: Assign,
        request: TrainRequest,
        outcomes: Sequence[Outcome],
        engine: Engine,
        fetch: Callable[[str], Mapping[str, Tensor]],
    ) -> Generator[None, None, bytes]:
        """One slice, pausing after every batch; the result of its job. `fetch` gives the tensors of an object: a checkpoint,
        or rows that were captured.

        Whatever interrupts it, nothing half-learned is held. Raises TrainingLost, RequestError.
        """
        key = (assign.owner, request.training)
        held = self._held.pop(key, None)
        found = run.rows(request, outcomes, engine, fetch)
        if request.state is not None:
            trainers: Sequence[Trainer] = run.resumed(request, fetch(request.state.digest), engine)
        elif request.slice == 0:
            trainers = run.started(request, found, engine.device)
        elif held is not None and held.slice == request.slice:
            trainers = held.trainers
            if tuple(trainer.recipe for trainer in trainers) != request.recipes:
                raise RequestError("a slice has other recipes than the training that it goes on from")
        else:
            raise TrainingLost
        seconds = [0.0] * len(trainers)
        yield from run.learn(trainers, found, seconds)
        made = run.told(request, trainers, seconds, found, engine, self._epoch)
        self._keep(key, _Held(trainers, request.slice + 1, self._clock()))
        return made

    def expire(self) -> None:
        """Let go of what nobody has come for."""
        while self._held and next(iter(self._held.values())).since + IDLE < self._clock():
            self._held.popitem(last=False)

    def _keep(self, key: tuple[str, str], held: _Held) -> None:
        self._held[key] = held
        while len(self._held) > 1 and sum(one.nbytes for one in self._held.values()) > self._most_bytes:
            self._held.popitem(last=False)
