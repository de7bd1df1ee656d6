"""Short ways to run programs in the tests."""

from collections.abc import Sequence

from torch import Tensor

from interp_magics.engine.protocol import NoObjects, Outcome, Quiet, Task
from interp_magics.engine.transformers_engine.engine import TransformersEngine
from interp_magics.program.language import Edit, Ids, Program, Row, Sampling, Stage, Stored, Tap


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
    results = engine.run([Task(p, objects or NoObjects()) for p in programs], Quiet())
    outcomes = []
    for result in results:
        if isinstance(result, Exception):
            raise result
        outcomes.append(result)
    return outcomes


def raw(outcome: Outcome, tap: int = 0, row: int = 0, stage: int = 0) -> Tensor:
    values = outcome.readings[stage][tap].values[row]
    return values["values"]  # type: ignore[index]
