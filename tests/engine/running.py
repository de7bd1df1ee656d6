"""Short ways to run programs in the tests."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from interp_magics.engine.protocol import Collecting, NoObjects, Outcome, Room, Task, Wish, collect
from interp_magics.engine.transformers_engine.engine import TransformersEngine
from interp_magics.program.language import Edit, Ids, Program, Row, Sampling, Stage, Tap
from interp_magics.program.operations import Stored


def stored(**tensors: Tensor) -> NoObjects:
    return NoObjects({("d", name): tensor for name, tensor in tensors.items()})


def vector(name: str) -> Stored:
    return Stored("d", name)


def program(
    rows: Sequence[Sequence[int]],
    taps: Sequence[Tap] = (),
    edits: Sequence[Edit] = (),
    sampling: Sampling | None = None,
) -> Program:
    made = tuple(Row(Ids(tuple(ids)), sampling) for ids in rows)
    return Program(made, (Stage(tuple(taps), tuple(edits)),))


def run(engine: TransformersEngine, *programs: Program, objects: NoObjects | None = None) -> list[Outcome]:
    results = collect(engine, [Task(p, objects or NoObjects()) for p in programs])
    outcomes = []
    for result in results:
        if isinstance(result, Exception):
            raise result
        outcomes.append(result)
    return outcomes


def raw(outcome: Outcome, tap: int = 0, row: int = 0, stage: int = 0) -> Tensor:
    values = outcome.readings[stage][tap].values[row]
    assert isinstance(values, Mapping)
    return values["values"]


class Arriving(Collecting):
    """A host to which programs come when one of its tasks has so many tokens; `order` is that in which they end."""

    def __init__(self, objects: NoObjects, coming: Mapping[int, Sequence[Program]], watched: int = 0) -> None:
        super().__init__()
        self.objects, self.coming, self.watched = objects, dict(coming), watched
        self.tokens = 0
        self.order: list[int] = []

    def generated(self, task: int, row: int, completion: Sequence[int]) -> None:
        self.tokens += task == self.watched

    def wish(self, joins: bool) -> Wish:
        return Wish.JOIN if joins and any(self.tokens >= when for when in self.coming) else Wish.GO_ON

    def joining(self, room: Room) -> Sequence[Task]:
        due = [when for when in self.coming if self.tokens >= when]
        programs = [one for when in due for one in self.coming.pop(when)]
        assert room.take(programs)
        return [Task(one, self.objects) for one in programs]

    def finished(self, task: int, result: Outcome | Exception) -> None:
        super().finished(task, result)
        self.order.append(task)
