"""Trainings that go on from slice to slice: held by this process, for their owners, until nobody has come for a while."""

import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..engine.dictionaries.learners import Training
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
    """A training that waits for slice `slice`, since `since`."""

    training: Training
    slice: int
    since: float


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
        training = None if held is None else held.training
        try:
            found = run.rows(request, outcomes, engine, fetch)
            training = self._training(request, held, engine, fetch)
            yield from training.learn(found)
            made = run.told(request, training, found, engine, self._epoch)
        except BaseException:
            if training is not None:
                training.give_up()
            raise
        self._keep(key, _Held(training, request.slice + 1, self._clock()))
        return made

    def _training(
        self, request: TrainRequest, held: _Held | None, engine: Engine, fetch: Callable[[str], Mapping[str, Tensor]]
    ) -> Training:
        if request.state is not None or request.slice == 0:
            if held is not None:
                held.training.give_up()
            tensors = None if request.state is None else fetch(request.state.digest)
            return run.started(request, engine) if tensors is None else run.resumed(request, tensors, engine)
        if held is None or held.slice != request.slice:
            raise TrainingLost
        if held.training.recipes != request.recipes:
            raise RequestError("a slice has other recipes than the training that it goes on from")
        return held.training

    def expire(self) -> None:
        """Let go of what nobody has come for."""
        while self._held and next(iter(self._held.values())).since + IDLE < self._clock():
            self._drop_oldest()

    def _keep(self, key: tuple[str, str], held: _Held) -> None:
        self._held[key] = held
        while len(self._held) > 1 and sum(one.training.nbytes for one in self._held.values()) > self._most_bytes:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, held = self._held.popitem(last=False)
        held.training.give_up()
