"""What training has made, as a dictionary that reads and writes activations as they are."""

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ...data.dictionary import Architecture, Dictionary
from ...program.dictionaries import Recipe, Trained
from .trainer import State

#: A dictionary whose batches shared out their activations keeps the threshold that this came to.
_KIND: dict[Trained, Architecture] = {
    "relu": "relu",
    "topk": "topk",
    "batch_topk": "jumprelu",
    "matryoshka": "jumprelu",
    "jumprelu": "jumprelu",
    "gated": "gated",
}


def finished(recipe: Recipe, state: State, made_from: dict[str, Any]) -> Dictionary:
    """The scales of training folded in: every architecture keeps its form when biases and thresholds are divided by the scale, and
    an activation then counts in units of what is written. The rows of `W_dec` are unit vectors."""
    out = 1 / state.scale_out
    weights = state.weights
    kind = _KIND[recipe.architecture]
    given: dict[str, Any] = {}
    if kind == "jumprelu":
        given["threshold"] = _array(_threshold(recipe, state) * out)
    elif kind == "topk":
        given["k"] = recipe.k
    elif kind == "gated":
        given |= {
            "b_gate": _array(weights["b_enc"] * out),
            "b_mag": _array(weights["b_mag"] * out),
            "r_mag": _array(weights["r_mag"]),
        }
    b_enc = weights["b_enc"] * out
    return Dictionary(
        W_enc=_array(weights["encoder"].T * (state.scale * out)),
        W_dec=_array(weights["decoder"]),
        b_enc=_array(b_enc * 0 if kind == "gated" else b_enc),
        b_dec=_array(weights["b_dec"] * out),
        architecture=kind,
        subtract_b_dec=not recipe.transcodes,
        site=recipe.site,
        layer=recipe.layer,
        site_out=recipe.site_out,
        made_from=made_from,
        **given,
    )


def _threshold(recipe: Recipe, state: State) -> Tensor:
    if recipe.architecture == "jumprelu":
        return state.weights["log_threshold"].exp()
    shared = state.threshold / max(state.threshold_weight, 1e-9)
    return shared.expand(recipe.latents)


def _array(value: Tensor) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(value.detach().float().cpu().numpy())
