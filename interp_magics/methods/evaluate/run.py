"""A request to evaluate a dictionary on a worker."""

from collections.abc import Generator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ...data.fidelity import Sums
from ...data.sae_evaluation import EvaluationMeta, SAEEvaluation, encode
from ...engine.dictionaries.loaded import Loaded
from ...engine.protocol import Engine, Objects, Outcome, Reading
from ...errors import RequestError
from ...program.language import Program
from ..finish import numbers, provenance
from ..pieces import pieces
from . import plan
from .request import EvaluateRequest


def programs(request: EvaluateRequest, engine: Engine) -> tuple[Program, ...]:
    """One for each text, or piece of one. Raises RequestError when no token is there to measure on."""
    context = min(request.context or engine.card.context, engine.card.context)
    cut = [piece for text in request.texts for piece in pieces(engine.tokens, text, context)]
    chosen = [(piece, engine.tokens.ordinary(engine.tokens.encode(piece).ids)) for piece in cut]
    made = tuple(plan.programs_of(request, piece, positions) for piece, positions in chosen if positions)
    if not made:
        raise RequestError("the texts have no tokens but special ones, which a dictionary is not measured on")
    return made


def steps(
    request: EvaluateRequest, outcomes: Sequence[Outcome], engine: Engine, objects: Objects
) -> Generator[None, None, bytes]:
    """Sums over all texts, pausing after each; what it returns is the result."""
    dictionary = Loaded.of(
        request.dictionary, lambda stored: objects.tensor(stored.digest, stored.name).to(engine.device)
    )
    sums = Sums.begin(request.dictionary.out, request.dictionary.latents)
    losses, divergences, predictions = np.zeros(plan.ROWS), np.zeros(plan.ROWS), 0
    for outcome in outcomes:
        predicted, *values = outcome.readings[0]
        places = np.asarray(values[0].positions[0])
        places = places[places < len(outcome.rows[0].token_ids) - 1]
        predictions += len(places)
        for row, value in enumerate(predicted.values):
            losses[row] += numbers(value, "surprisal")[0][places].sum()
            divergences[row] += numbers(value, "divergence")[0][places].sum()
        x, y = _rows(values[0]), _rows(values[-1])
        with torch.inference_mode():
            f = dictionary.encode(x.to(engine.device))
            made = dictionary.decode(f, x.to(engine.device))
        sums.add(y.double().numpy(), made.double().cpu().numpy(), f.cpu().numpy())
        yield
    if not predictions:
        raise RequestError("no token of the texts is predicted from one before it; give texts of two tokens or more")
    digest = request.dictionary.weights[0].digest
    meta = EvaluationMeta(request.site_out or request.site, request.layer, digest, provenance(request, engine))
    return encode(SAEEvaluation(meta, sums, losses, divergences, predictions))


def _rows(reading: Reading) -> Tensor:
    """The values [positions, width] of the one row and layer that were read."""
    values = reading.values[0]
    assert isinstance(values, Mapping)
    return values["values"][0].flatten(1)
