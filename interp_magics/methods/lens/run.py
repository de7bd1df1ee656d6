"""A lens request on a worker."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...data import lens_run
from ...data.lens_run import LensMeta, LensRun
from ...engine.lens import LensArrays
from ...engine.protocol import Engine, Outcome, Reading, RowOutcome
from ...program.language import Program
from ..cost import layers_of
from ..finish import FinishedRow, finished_rows, int32, provenance
from ..rows import alone
from . import plan
from .request import LensRequest


def programs(request: LensRequest, engine: Engine) -> tuple[Program, ...]:
    """Programs with the tracked texts as ids. Raises RequestError for one that is not a single token."""
    return plan.programs(request, engine.card, _track(request, engine))


def result(request: LensRequest, outcomes: Sequence[Outcome], engine: Engine) -> bytes:
    """One run for each text."""
    return lens_run.encode(
        [_run(request, i, row, engine) for i, row in enumerate(finished_rows(outcomes), request.first)]
    )


def partial(
    request: LensRequest, number: int, rows: Sequence[RowOutcome], readings: Sequence[Reading], engine: Engine
) -> bytes:
    """What was decoded of text `number` since the last time, as a run of those positions alone."""
    (row,) = rows
    positions = tuple(reading.positions[0] for reading in readings)
    finished = FinishedRow(row, positions, tuple(reading.values[0] for reading in readings))
    return lens_run.encode([_run(request, request.first + number, finished, engine)])


def _track(request: LensRequest, engine: Engine) -> tuple[int, ...]:
    return tuple(dict.fromkeys(engine.tokens.one(token) for token in request.track))


def _run(request: LensRequest, number: int, row: FinishedRow, engine: Engine) -> LensRun:
    by_site = [values for values in row.values if isinstance(values, LensArrays)]

    def stack(name: str) -> Any:
        parts = [getattr(arrays, name) for arrays in by_site]
        return None if parts[0] is None else torch.stack(parts).numpy()

    arrays = {name: stack(name) for name in LensArrays.__dataclass_fields__}
    track = _track(request, engine)
    outcome = row.outcome
    shown = {*outcome.token_ids, *outcome.completion_ids, *track, *np.unique(arrays["top_ids"]).tolist()}
    meta = LensMeta(
        kind=request.kind,
        layers=layers_of(engine.card, request.sites[0], request.layers),
        sites=request.sites,
        row=number,
        prompt_length=outcome.prompt_length,
        text=engine.tokens.decode(outcome.token_ids),
        completion=row.completion(engine.tokens),
        finish=outcome.finish,
        vocabulary=engine.card.vocabulary,
        strings=engine.tokens.table(sorted(shown)),
        provenance=provenance(alone(request, number - request.first), engine, kept=row.reread),
        handle=row.handle,
        depth=engine.card.layers,
    )
    return LensRun(
        meta,
        token_ids=int32(outcome.token_ids),
        positions=int32(row.positions[0]),
        completion_ids=int32(outcome.completion_ids),
        tracked_ids=int32(track),
        **arrays,
    )
