"""A program written by hand on a worker."""

from collections.abc import Mapping, Sequence

import numpy as np

from ...data import readings
from ...data.readings import Readings, ReadingsMeta, RowInfo
from ...engine.lens import LensArrays
from ...engine.protocol import Engine, Outcome, RowValues
from ...program.language import Program
from ..finish import int32, provenance, to_numpy
from .request import ProgramRequest


def programs(request: ProgramRequest, engine: Engine) -> tuple[Program, ...]:
    """The program itself."""
    return (request.program,)


def result(request: ProgramRequest, outcomes: Sequence[Outcome], engine: Engine) -> bytes:
    """All readings as one object, its tensors named stage/tap/row/array; those of gradients lie under gradients/."""
    (outcome,) = outcomes
    tensors = {}
    infos = []
    for row in outcome.rows:
        tensors[f"rows/{row.number}/token_ids"] = int32(row.token_ids)
        tensors[f"rows/{row.number}/completion_ids"] = int32(row.completion_ids)
        prompt = engine.tokens.decode(row.token_ids[: row.prompt_length])
        infos.append(RowInfo(row.prompt_length, engine.tokens.decode(row.completion_ids), row.finish, prompt))
    for stage, taps in enumerate(outcome.readings):
        for tap, reading in enumerate(taps):
            for place, row_number in enumerate(reading.rows):
                start = f"{stage}/{tap}/{row_number}"
                tensors[f"{start}/positions"] = int32(reading.positions[place])
                for name, tensor in _named(reading.values[place]).items():
                    tensors[f"{start}/{name}"] = to_numpy(tensor)
    for stage, gradients in enumerate(outcome.gradients):
        for number, gradient in enumerate(gradients):
            tensors[f"gradients/{stage}/{number}/metric"] = np.array(gradient.metric, np.float64)
            for tap, reading in enumerate(gradient.readings):
                for place, row_number in enumerate(reading.rows):
                    start = f"gradients/{stage}/{number}/{tap}/{row_number}"
                    tensors[f"{start}/positions"] = int32(reading.positions[place])
                    for name, tensor in _named(reading.values[place]).items():
                        tensors[f"{start}/{name}"] = to_numpy(tensor)
    return readings.encode(Readings(ReadingsMeta(tuple(infos), provenance(request, engine)), tensors))


def _named(values: RowValues) -> Mapping[str, object]:
    if not isinstance(values, LensArrays):
        return values
    return {n: v for n in LensArrays.__dataclass_fields__ if (v := getattr(values, n)) is not None}
