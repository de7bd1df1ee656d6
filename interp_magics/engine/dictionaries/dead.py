"""Latents that fire no more: an auxiliary loss for those that are chosen by rank; for those that are not, biases that rise until they
fire, and new directions where that does not help."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...program.dictionaries import Recipe
from .gradients import Batch, Step, Weights, encoder_side
from .shards import Shard

#: A latent that is set anew encodes with this share of the mean norm of the encoder's rows.
_QUIET = 0.2


def revive(weights: Weights, batch: Batch, step: Step, dead: Tensor, count: int, recipe: Recipe) -> Weights:
    """The gradients of a step and of the auxiliary loss: `auxiliary` times the mean of |e - e^|^2, e being what the step left
    over (it is not moved), e^ its reconstruction by the d / 2 largest of the `dead` latents (arXiv:2406.04093, A.2), of which there
    are `count` on all ranks."""
    some = {name: weights[name][dead] for name in ("encoder", "decoder", "b_enc")} | {"b_dec": weights["b_dec"]}
    h = batch.h.index_select(1, dead)
    active = batch.shard.of_rows(h, min(count, batch.x.shape[1] // 2), batch.dtype)
    f = active.take(h).relu_()
    left = step.residual - batch.shard.sum(active.decode(f, some["decoder"]))
    g = left * (-2 * recipe.auxiliary / len(left))
    dh = active.products(g, some["decoder"]) * (f > 0)
    side = encoder_side(some, batch, active, dh, torch.zeros_like(g))
    made = dict(step.gradients)
    made["b_dec"] = made["b_dec"] + side["b_dec"]
    for name, value in (("decoder", active.scatter(f, g)), ("encoder", side["encoder"]), ("b_enc", side["b_enc"])):
        made[name] = made[name].index_add(0, dead, value)
    return made


def set_anew(
    weights: Weights,
    moments: list[Weights],
    batch: Batch,
    step: Step,
    dead: Tensor,
    counts: Sequence[int],
    draw: torch.Generator,
) -> None:
    """Point dead latents at what is reconstructed worst: rows drawn in proportion to their squared error (Bricken et al.
    2023, "Neuron resampling"). `moments` are the optimiser's, which begin anew for them; `counts` are how many each rank has."""
    error = step.residual.square().sum(1).nan_to_num(0.0, 0.0, 0.0) + torch.finfo(torch.float32).tiny
    drawn = torch.multinomial(error.double().cpu(), sum(counts), replacement=True, generator=draw).to(dead.device)
    chosen = drawn.split(list(counts))[batch.shard.ranks.rank]
    length = _length(weights["encoder"], dead, batch.shard)
    mean = batch.centred.mean(0)
    x = torch.nn.functional.normalize(batch.centred[chosen] - mean, dim=1)
    weights["encoder"][dead] = x * (_QUIET * length)
    weights["decoder"][dead] = torch.nn.functional.normalize(step.residual[chosen], dim=1)
    weights["b_enc"][dead] = -weights["encoder"][dead] @ mean
    for kind in moments:
        for name in kind.keys() - {"b_dec"}:
            kind[name][dead] = 0.0
    for name in ("r_mag", "b_mag"):
        if name in weights:
            weights[name][dead] = 0.0


def _length(encoder: Tensor, dead: Tensor, shard: Shard) -> Tensor:
    """The mean norm of the rows of an encoder that are not dead; 1 where all are."""
    live = torch.ones(len(encoder), dtype=torch.bool, device=dead.device)
    live[dead] = False
    total, count = shard.sum(torch.stack([encoder[live].norm(dim=1).sum(), live.sum()]))
    return total / count if count else torch.ones_like(total)
