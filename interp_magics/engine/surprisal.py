"""What a model expects of known tokens, and how far its predictions are from another run's: value by value, never all logits."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .readout import Readout

_POSITIONS_AT_ONCE = 128


def split_logits(normed: Tensor, readout: Readout) -> tuple[Tensor, Tensor]:
    """(this rank's logits [n, share], log of the sum of all exponentials [n, 1])."""
    logits = readout.product(normed, 0, readout.width)
    parts = readout.ranks.stacked(logits.logsumexp(1, keepdim=True))
    return logits, parts.logsumexp(0)


def surprisal(normed: Tensor, following: Sequence[int | None], readout: Readout) -> Tensor:
    """-log p(following token) [T] in nats of `normed` [T, d], which the head reads; nan where no token follows."""
    found = torch.full((len(normed),), torch.nan, device=normed.device)
    known = torch.tensor([i for i, token in enumerate(following) if token is not None], dtype=torch.long)
    ids = torch.tensor([token for token in following if token is not None], dtype=torch.long, device=normed.device)
    for start in range(0, len(known), _POSITIONS_AT_ONCE):
        some = known[start : start + _POSITIONS_AT_ONCE]
        logits, log_total = split_logits(normed[some], readout)
        wanted = ids[start : start + _POSITIONS_AT_ONCE]
        here = (wanted >= readout.start) & (wanted < readout.start + readout.width)
        local = torch.where(here, wanted - readout.start, 0)
        mine = logits.gather(1, local[:, None])[:, 0].masked_fill(~here, 0.0)
        found[some] = log_total[:, 0] - readout.ranks.total(mine)
    return found


def divergence(normed: Tensor, other: Tensor, readout: Readout) -> Tensor:
    """KL(other || here) [T] in nats at every position of two runs [T, d]."""
    found = torch.zeros(len(normed), device=normed.device)
    for start in range(0, len(normed), _POSITIONS_AT_ONCE):
        some = slice(start, start + _POSITIONS_AT_ONCE)
        logits, log_total = split_logits(normed[some], readout)
        theirs, their_total = split_logits(other[some], readout)
        log_p = theirs - their_total
        # A probability of 0 adds nothing, whatever the other side gives it.
        terms = torch.where(torch.isneginf(log_p), 0.0, log_p.exp() * (log_p - (logits - log_total)))
        found[some] = readout.ranks.total(terms.sum(1))
    return found
