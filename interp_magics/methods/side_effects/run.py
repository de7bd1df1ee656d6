"""A request for side effects on a worker."""

from collections.abc import Sequence

import numpy as np

from ...data.side_effects import SideEffects, SideEffectsMeta, encode
from ...engine.protocol import Engine, Outcome
from ...program.language import Program
from ..finish import numbers, provenance
from . import plan
from .request import SideEffectsRequest


def programs(request: SideEffectsRequest, engine: Engine) -> tuple[Program, ...]:
    """Those of every text."""
    return tuple(program for text in request.texts for program in plan.programs_of(request, text))


def result(request: SideEffectsRequest, outcomes: Sequence[Outcome], engine: Engine) -> bytes:
    """Sums over the tokens of each text, so that means may be taken over any texts."""
    asked, texts = plan.points(request), len(request.texts)
    each = len(outcomes) // texts
    shape = (len(request.layers), texts, len(request.scales))
    surprisal, divergence = np.zeros(shape), np.zeros(shape)
    plain, tokens = np.zeros(texts), np.zeros(texts, np.int32)
    for text in range(texts):
        some = [outcome.readings[0][0].values for outcome in outcomes[text * each : (text + 1) * each]]
        alone = np.nan_to_num(numbers(some[0][0], "surprisal")[0])
        plain[text], tokens[text] = alone.sum(), len(alone) - 1
        rows = [row for values in some for row in values[1:]]
        for (layer, scale), row in zip(asked, rows, strict=True):
            surprisal[layer, text, scale] = np.nansum(numbers(row, "surprisal")[0])
            divergence[layer, text, scale] = numbers(row, "divergence")[0, :-1].sum()
    meta = SideEffectsMeta(request.site, request.layers, request.scales, provenance(request, engine))
    return encode(SideEffects(meta, surprisal, divergence, plain, tokens))
