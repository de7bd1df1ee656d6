"""A request for a steering vector on a worker."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec
import numpy as np

from ...data.vectors import SteeringVector
from ...engine.protocol import Engine, Outcome
from ...errors import RequestError
from ...program.language import Program
from ..cost import layers_of
from ..finish import numbers, provenance
from ..labels import find_label
from . import fit, plan
from .request import VectorRequest


def programs(request: VectorRequest, engine: Engine) -> tuple[Program, ...]:
    """One for each text. Raises RequestError for a pair whose members are the same, where that matters."""
    labels: list[int | None] = [None] * len(request.texts)
    if request.position == "label":
        for pair in range(request.positive):
            members = (pair, request.positive + pair)
            positive, negative = (request.texts[member] for member in members)
            label = find_label(engine.tokens, positive, negative, f"pair {pair}")
            for member in members:
                labels[member] = label.position
    return tuple(plan.program(request, number, label) for number, label in enumerate(labels))


def result(request: VectorRequest, outcomes: Sequence[Outcome], engine: Engine) -> bytes:
    """The directions of all layers with their diagnostics, and those of the same recipe on shuffled sides."""
    values = [outcome.readings[0][0].values[0] for outcome in outcomes]
    means, norms = (np.stack([numbers(value, name) for value in values]) for name in ("mean", "norm"))
    if request.head is not None:
        means, norms = means[:, :, 0], norms[:, :, 0]
    layers = layers_of(engine.card, request.site, request.layers)
    directions, controls, table = {}, {}, {}
    for place, layer in enumerate(layers):
        positive, negative = means[: request.positive, place], means[request.positive :, place]
        direction = fit.FITS[request.method](positive, negative)
        if not np.linalg.norm(direction) > 0:
            raise RequestError(
                f"the two sides are the same at layer {layer} of {request.site!r}, so there is no direction between them; "
                "read where the texts differ (position 'label' or 'mean'), or choose later layers"
            )
        length = float(np.linalg.norm(direction))
        directions[layer] = direction.astype(np.float32)
        control = fit.shuffled(positive, negative, request.method, length)
        controls[layer] = control.astype(np.float32)
        table[str(layer)] = fit.diagnostics(
            positive, negative, direction, float(norms[:, place].mean()), request.method, request.paired
        )
    made_from = {
        "checkpoint": engine.card.digest,
        "model": engine.card.name,
        "diagnostics": table,
        "read": sorted({sha256(msgspec.json.encode(text)).hexdigest()[:16] for text in request.texts}),
        "provenance": msgspec.to_builtins(provenance(request, engine)),
    }
    return SteeringVector(directions, request.site, request.name, made_from, controls, request.head).data
