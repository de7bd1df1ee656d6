"""What a direction of the stream does to the logits directly: through the linear part of the final norm, and the head."""

import torch
from torch import Tensor

from ..readout import Readout

_AT_ONCE = 128
_FAR = 1e4


def effects(directions: Tensor, readout: Readout, k: int) -> tuple[Tensor, Tensor]:
    """Of each direction [n, d] the k tokens that it promotes most and the k that it suppresses most, ids [n, 2k] and values [n, 2k]:
    the change of the logits per unit of the direction at a stream of root mean square 1, less its mean over the vocabulary.
    Biases and a soft cap are left out. Called on every rank."""
    ids, values = [], []
    for some in directions.split(_AT_ONCE):
        rows = linear(some.to(readout.weight.device, torch.float32), readout)
        share = rows @ readout.weight.float().T * readout.scale
        logits = readout.ranks.gather(share, 1, readout.vocabulary)
        logits = logits - logits.mean(1, keepdim=True)
        high, low = logits.topk(k, 1), (-logits).topk(k, 1)
        ids.append(torch.cat([high.indices, low.indices], 1).cpu())
        values.append(torch.cat([high.values, -low.values], 1).cpu())
    return torch.cat(ids), torch.cat(values)


def linear(directions: Tensor, readout: Readout) -> Tensor:
    """A final norm divides by the size of what it reads and is linear otherwise: its linear part, at size 1. A norm that takes the
    mean away gives nothing of a constant."""
    dtype = readout.weight.dtype

    def normed(rows: Tensor) -> Tensor:
        made: Tensor = readout.norm(rows.to(dtype)).float()
        return made

    nothing = normed(torch.zeros_like(directions[:1]))
    constant = normed(torch.full_like(directions[:1], _FAR))
    centres = bool((constant - nothing).abs().max() < 1e-3 * nothing.abs().max().clamp_min(1.0))
    far = directions * _FAR
    size = (far - far.mean(1, keepdim=True) if centres else far).square().mean(1, keepdim=True).sqrt()
    return (normed(far) - nothing) * size / _FAR
