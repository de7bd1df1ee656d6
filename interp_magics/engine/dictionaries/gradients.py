"""Gradients of the losses of dictionaries in closed form, for every architecture.

With x [B, d] and y [B, d_out] (y is x unless it is a transcoder), xc = x - b_dec (x for a transcoder), h = xc E^T + b_enc and
f = sigma(h), y^ = f D + b_dec; the reconstruction loss is the mean over rows of |y^ - y|^2, g = 2 (y^ - y) / B, and
    dD = f^T g,  df = g D^T,  dE = dh^T xc,  db_enc = sum dh,  db_dec = sum g - E^T sum dh (without the last for a transcoder).
What differs is sigma and what is added to df. Of a dictionary that is shared out over ranks each has the f, h, E, D and b_enc of its own
latents; y^ and E^T sum dh are then sums over ranks. The step function of a threshold has a gradient by a rectangular kernel
(arXiv:2407.14435, section 3).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from ...program.dictionaries import Recipe
from .active import Active, of_mask
from .shards import WHOLE, Shard

#: By name: encoder [m, d], decoder [m, d_out], b_enc [m], b_dec [d_out]; jumprelu log_threshold [m]; gated r_mag, b_mag [m].
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """Rows to learn from: x, what is to be reconstructed, x as the encoder sees it, the pre-activations in `dtype`; whether rows that
    may share out their active pairs choose `alone`, k each; whose latents are here."""

    x: Tensor
    y: Tensor
    centred: Tensor
    h: Tensor
    dtype: torch.dtype
    alone: bool = False
    shard: Shard = WHOLE


@dataclass(frozen=True)
class Step:
    """The gradients, by name as the weights; y - y^ [B, d_out]; how often each latent fired [m]; the smallest activation that
    was chosen (batch_topk)."""

    gradients: Weights
    residual: Tensor
    fired: Tensor
    threshold: Tensor | None = None


def encode(
    weights: Weights, x: Tensor, y: Tensor | None, dtype: torch.dtype, alone: bool = False, shard: Shard = WHOLE
) -> Batch:
    """The pre-activations of rows; `y` is None where x is to be reconstructed."""
    centred = x - weights["b_dec"] if y is None else x
    h = torch.addmm(weights["b_enc"].to(dtype), centred.to(dtype), weights["encoder"].to(dtype).T)
    return Batch(x, x if y is None else y, centred, h, dtype, alone, shard)


def gradients(weights: Weights, batch: Batch, recipe: Recipe, sparsity: float) -> Step:
    """Of the loss of a recipe's architecture, lambda being `sparsity`."""
    return _STEPS[recipe.architecture](weights, batch, recipe, sparsity)


def exact(weights: Weights, batch: Batch, active: Active) -> Tensor:
    """The pre-activations of the active pairs in float32, whatever they were chosen by."""
    if batch.dtype == torch.float32:
        return active.take(batch.h)
    return active.products(batch.centred, weights["encoder"]) + active.per_latent(weights["b_enc"])


def encoder_side(weights: Weights, batch: Batch, active: Active, dh: Tensor, g: Tensor) -> Weights:
    """Gradients of the encoder and the biases from those of the pre-activations, and of the reconstruction."""
    db_enc = active.by_latent(dh)
    db_dec = g.sum(0)
    if batch.y is batch.x:
        db_dec = db_dec - batch.shard.sum(db_enc @ weights["encoder"])
    return {"encoder": active.scatter(dh, batch.centred), "b_enc": db_enc, "b_dec": db_dec}


def _residual(weights: Weights, batch: Batch, active: Active, f: Tensor) -> tuple[Tensor, Tensor]:
    """y - y^, and g."""
    residual = batch.y - batch.shard.sum(active.decode(f, weights["decoder"])) - weights["b_dec"]
    return residual, residual * (-2 / len(residual))


def _plain(weights: Weights, batch: Batch, active: Active, penalty: float) -> Step:
    """f = max(h, 0) at the active pairs, each of which adds `penalty` times f to the loss of its row."""
    f = exact(weights, batch, active).relu_()
    on = f > 0
    residual, g = _residual(weights, batch, active, f)
    dh = active.products(g, weights["decoder"])
    if penalty:
        dh += penalty / len(residual)
    dh *= on
    made = {"decoder": active.scatter(f, g)} | encoder_side(weights, batch, active, dh, g)
    return Step(made, residual, active.by_latent(on.float()), batch.shard.lowest(f[on]))


def _relu(weights: Weights, batch: Batch, recipe: Recipe, sparsity: float) -> Step:
    return _plain(weights, batch, of_mask(batch.h > 0, batch.dtype), sparsity)


def _topk(weights: Weights, batch: Batch, recipe: Recipe, sparsity: float) -> Step:
    return _plain(weights, batch, batch.shard.of_rows(batch.h, recipe.k, batch.dtype), 0.0)


def _chosen(batch: Batch, recipe: Recipe) -> Active:
    if batch.alone:
        return batch.shard.of_rows(batch.h, recipe.k, batch.dtype)
    return batch.shard.of_all(batch.h, len(batch.h) * recipe.k)


def shared_threshold(batch: Batch, recipe: Recipe) -> Tensor:
    """The smallest activation that a batch would choose, if its rows shared them out."""
    chosen = batch.shard.of_all(batch.h, len(batch.h) * recipe.k).take(batch.h)
    return batch.shard.lowest(chosen.clamp_min(0))


def _batch_topk(weights: Weights, batch: Batch, recipe: Recipe, sparsity: float) -> Step:
    return _plain(weights, batch, _chosen(batch, recipe), 0.0)


def _matryoshka(weights: Weights, batch: Batch, recipe: Recipe, sparsity: float) -> Step:
    """The mean of the reconstruction losses of all prefixes: a latent answers for every prefix that holds it."""
    active, ends = _chosen(batch, recipe), batch.shard.ends(recipe.prefixes)
    f = exact(weights, batch, active).relu_()
    on = f > 0
    parts, values = active.split(ends), active.cut(f, ends)
    decoders = _rows(weights["decoder"], ends)
    pieces = [part.decode(some, rows) for part, some, rows in zip(parts, values, decoders, strict=True)]
    residuals = [batch.y - weights["b_dec"] - sum_ for sum_ in accumulate(batch.shard.sums(pieces))]
    share = -2 / (len(batch.x) * len(ends))
    owed = [sum_ * share for sum_ in accumulate(reversed(residuals))][::-1]
    decoder = [part.scatter(some, g) for part, some, g in zip(parts, values, owed, strict=True)]
    dh = active.join([part.products(g, rows) for part, g, rows in zip(parts, owed, decoders, strict=True)], ends) * on
    made = {"decoder": torch.cat(decoder)} | encoder_side(weights, batch, active, dh, owed[0])
    return Step(made, residuals[-1], active.by_latent(on.float()), batch.shard.lowest(f[on]))


def _jumprelu(weights: Weights, batch: Batch, recipe: Recipe, sparsity: float) -> Step:
    """f = h above the threshold; each active latent costs lambda. Near its threshold a latent pulls it."""
    threshold = weights["log_threshold"].exp()
    active = of_mask(batch.h > threshold.to(batch.dtype), batch.dtype)
    h = exact(weights, batch, active)
    on = (h > active.per_latent(threshold)) & (h > 0)
    f = h * on
    residual, g = _residual(weights, batch, active, f)
    dh = active.products(g, weights["decoder"]) * on
    near = of_mask((batch.h - threshold).abs() < recipe.bandwidth / 2, batch.dtype)
    pull = near.products(g, weights["decoder"]) * near.per_latent(threshold)
    pull += near.per_latent(torch.full_like(threshold, sparsity / len(residual)))
    by_threshold = -near.by_latent(pull) / recipe.bandwidth
    made = {"decoder": active.scatter(f, g), "log_threshold": by_threshold * threshold}
    return Step(made | encoder_side(weights, batch, active, dh, g), residual, active.by_latent(on.float()))


def _gated(weights: Weights, batch: Batch, recipe: Recipe, sparsity: float) -> Step:
    """The gate decides (b_enc is its bias), the magnitude reconstructs; the gate learns from its own reconstruction, by a
    decoder that does not learn from it."""
    active = of_mask(batch.h > 0, batch.dtype)
    gate = exact(weights, batch, active).relu_()
    scale = active.per_latent(weights["r_mag"].exp())
    shared = gate - active.per_latent(weights["b_enc"])
    inner = shared * scale + active.per_latent(weights["b_mag"])
    on = (gate > 0) & (inner > 0)
    f = inner * on
    residual, g = _residual(weights, batch, active, f)
    _, by_gate = _residual(weights, batch, active, gate)
    d_mag = active.products(g, weights["decoder"]) * on
    d_gate = (active.products(by_gate, weights["decoder"]) + sparsity / len(residual)) * (gate > 0)
    made = encoder_side(weights, batch, active, d_gate + d_mag * scale, g) | {
        "decoder": active.scatter(f, g),
        "b_enc": active.by_latent(d_gate),
        "b_mag": active.by_latent(d_mag),
        "r_mag": active.by_latent(d_mag * shared * scale),
    }
    return Step(made, residual, active.by_latent(on.float()))


def _rows(vectors: Tensor, ends: Sequence[int]) -> Sequence[Tensor]:
    return [vectors[first:end] for first, end in zip((0, *ends[:-1]), ends, strict=True)]


_STEPS: Mapping[str, Callable[[Weights, Batch, Recipe, float], Step]] = {
    "relu": _relu,
    "topk": _topk,
    "batch_topk": _batch_topk,
    "matryoshka": _matryoshka,
    "jumprelu": _jumprelu,
    "gated": _gated,
}
