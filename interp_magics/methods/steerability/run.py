"""A request for propensity curves on a worker."""

from collections.abc import Sequence

import numpy as np

from ...data.steerability import SteerabilityMeta, SteerabilityRun, encode
from ...engine.protocol import Engine, Outcome
from ...program.language import Program
from ..finish import numbers, provenance
from ..labels import Label, find_label
from . import plan
from .request import SteerabilityRequest


def programs(request: SteerabilityRequest, engine: Engine) -> tuple[Program, ...]:
    """Those of every item. Raises RequestError for an item whose answers no token tells apart."""
    found = labels(request, engine)
    return tuple(
        program
        for label in found
        for program in plan.programs_of(request, label.before, (label.positive, label.negative))
    )


def labels(request: SteerabilityRequest, engine: Engine) -> list[Label]:
    """Where the answers of every item part."""
    pairs = zip(request.texts[::2], request.texts[1::2], strict=True)
    return [find_label(engine.tokens, *pair, f"item {i}") for i, pair in enumerate(pairs, request.first // 2)]


def result(request: SteerabilityRequest, outcomes: Sequence[Outcome], engine: Engine) -> bytes:
    """Propensities by curve, layer, item and scale."""
    asked, found = plan.points(request), labels(request, engine)
    each = len(outcomes) // len(found)
    shape = (len(request.curves), len(request.layers), len(found), len(request.scales))
    propensity = np.empty(shape, np.float32)
    for item in range(len(found)):
        rows = [row for outcome in outcomes[item * each : (item + 1) * each] for row in outcome.readings[0][0].values]
        for point, row in zip(asked, rows, strict=True):
            favoured, other = numbers(row, "values")[0, 0]
            difference = favoured - other
            if point is None:
                propensity[:, :, item, [place for place, scale in enumerate(request.scales) if scale == 0]] = difference
            else:
                curve, layer, scale = point
                propensity[curve, layer, item, scale] = difference
    tokens = engine.tokens
    meta = SteerabilityMeta(
        site=request.site,
        layers=request.layers,
        scales=request.scales,
        curves=tuple(curve.name for curve in request.curves),
        prompts=tuple(tokens.decode(label.before) for label in found),
        answers=tuple((tokens.show(label.positive), tokens.show(label.negative)) for label in found),
        provenance=provenance(request, engine),
    )
    ids = np.array([[label.positive, label.negative] for label in found], np.int32)
    return encode(SteerabilityRun(meta, propensity, ids))
