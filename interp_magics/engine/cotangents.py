"""Metrics of what the model predicts, and their derivatives by what the head reads, in closed form.

With z = c tanh(s (W h + b) / c) (no cap: z = s (W h + b)), the derivative by h of a metric m is

    dm/dh = sum_v dm/dz_v  s (1 - (z_v / c)^2)  W_v

so that no graph is kept over the vocabulary, and each rank contributes its share of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .readout import Readout
from .surprisal import split_logits

_POSITIONS_AT_ONCE = 256


@dataclass(frozen=True)
class Cotangent:
    """A metric of one row, and its derivative [T, d] (float32) by the normed stream."""

    value: float
    gradient: Tensor


def logit_difference(normed: Tensor, target: int, foil: int, readout: Readout) -> Cotangent:
    """logit(target) - logit(foil) at the last position of `normed` [T, d]."""
    logits, _ = split_logits(normed[-1:], readout)
    slope = _mark(torch.zeros_like(logits), [target], 1.0, readout)
    slope = _mark(slope, [foil], -1.0, readout)
    return _at_last(normed, _total((slope * logits).sum(), readout), slope, logits, readout)


def log_probability(normed: Tensor, target: int, readout: Readout) -> Cotangent:
    """log p(target) at the last position."""
    logits, log_total = split_logits(normed[-1:], readout)
    one = _mark(torch.zeros_like(logits), [target], 1.0, readout)
    value = _total((one * logits).sum(), readout) - float(log_total)
    return _at_last(normed, value, one - torch.exp(logits - log_total), logits, readout)


def loss(normed: Tensor, ids: Sequence[int], readout: Readout) -> Cotangent:
    """Mean of -log p(next token) over the positions that have one."""
    count = len(ids) - 1
    gradient = torch.zeros(normed.shape, device=normed.device)
    value = 0.0
    for start in range(0, count, _POSITIONS_AT_ONCE):
        stop = min(start + _POSITIONS_AT_ONCE, count)
        logits, log_total = split_logits(normed[start:stop], readout)
        one = _mark(torch.zeros_like(logits), ids[start + 1 : stop + 1], 1.0, readout)
        value += (float(log_total.sum()) - _total((one * logits).sum(), readout)) / count
        gradient[start:stop] = _back((torch.exp(logits - log_total) - one) / count, logits, readout)
    return Cotangent(value, gradient)


def divergence(normed: Tensor, kept: Tensor, readout: Readout) -> Cotangent:
    """Mean of KL(kept || here) over positions; `kept` [T, d] is the normed stream of another run."""
    count = len(normed)
    gradient = torch.zeros(normed.shape, device=normed.device)
    value = 0.0
    for start in range(0, count, _POSITIONS_AT_ONCE):
        chosen = slice(start, min(start + _POSITIONS_AT_ONCE, count))
        logits, log_total = split_logits(normed[chosen], readout)
        other, other_total = split_logits(kept[chosen], readout)
        p, q = torch.exp(other - other_total), torch.exp(logits - log_total)
        value += _total((p * ((other - other_total) - (logits - log_total))).sum(), readout) / count
        gradient[chosen] = _back((q - p) / count, logits, readout)
    return Cotangent(value, gradient)


def _mark(slope: Tensor, ids: Sequence[int], value: float, readout: Readout) -> Tensor:
    """Add `value` at one token of each row, where this rank holds it."""
    for row, token in enumerate(ids):
        if readout.start <= token < readout.start + readout.width:
            slope[row, token - readout.start] += value
    return slope


def _back(slope: Tensor, logits: Tensor, readout: Readout) -> Tensor:
    """From the derivative by the logits to that by the normed stream, [n, d]."""
    slope = slope * readout.scale
    if readout.softcap is not None:
        slope = slope * (1 - (logits / readout.softcap).square())
    return readout.ranks.total(slope @ readout.weight.float())


def _at_last(normed: Tensor, value: float, slope: Tensor, logits: Tensor, readout: Readout) -> Cotangent:
    gradient = torch.zeros(normed.shape, device=normed.device)
    gradient[-1:] = _back(slope, logits, readout)
    return Cotangent(value, gradient)


def _total(value: Tensor, readout: Readout) -> float:
    return float(readout.ranks.total(value.clone()))
