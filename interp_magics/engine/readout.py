"""The way from the stream to logits: final norm, head, scale and soft cap."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from .ranks import ALONE, Ranks


@dataclass(frozen=True)
class Readout:
    """logits = softcap * tanh(scale * (W norm(h) + b) / softcap), the cap only where the model has one.

    `weight` is [vocabulary, d_model] in the model's dtype, of which each rank holds its share (`start` is its first row).
    Every product is accumulated and returned in float32.
    """

    norm: nn.Module
    weight: Tensor
    bias: Tensor | None
    scale: float
    softcap: float | None
    vocabulary: int
    start: int = 0
    ranks: Ranks = ALONE

    @property
    def width(self) -> int:
        """How much of the vocabulary this rank reads out."""
        return int(self.weight.shape[0])

    def product(self, normed: Tensor, start: int, stop: int, out: Tensor | None = None) -> Tensor:
        """Logits [n, stop - start] in float32 of rows `normed` [n, d_model], which the final norm has been applied to;
        `start` and `stop` count within this rank's share."""
        weight = self.weight[start:stop]
        if normed.dtype == torch.float32 == weight.dtype or normed.device.type == "cpu":
            logits = torch.mm(normed.float(), weight.float().t(), out=out)
        else:
            logits = torch.mm(normed.to(weight.dtype), weight.t(), out_dtype=torch.float32)
            logits = logits if out is None else out.copy_(logits)
        if self.bias is not None:
            logits += self.bias[start:stop]
        if self.scale != 1.0:
            logits *= self.scale
        if self.softcap is not None:
            logits.div_(self.softcap).tanh_().mul_(self.softcap)
        return logits

    def logits(self, normed: Tensor) -> Tensor:
        """All logits [n, vocabulary] in float32, on every rank."""
        return self.ranks.gather(self.product(normed, 0, self.width), 1, self.vocabulary)

    def chosen(self, normed: Tensor, ids: Tensor) -> Tensor:
        """Logits [n, len(ids)] in float32 of the tokens `ids` alone, on every rank."""
        mine = (ids >= self.start) & (ids < self.start + self.width)
        local = torch.where(mine, ids - self.start, 0)
        bias = None if self.bias is None else self.bias[local]
        part = Readout(self.norm, self.weight[local], bias, self.scale, self.softcap, len(ids))
        return self.ranks.total(part.product(normed, 0, len(ids)).masked_fill_(~mine, 0.0))


def find_readout(
    model: nn.Module, norm: nn.Module, ranks: Ranks = ALONE, held: Callable[[str], Tensor | None] | None = None
) -> Readout:
    """The readout of a Hugging Face causal model, from its output embeddings and the settings that scale logits.

    `held` gives a parameter of the head by name, if it is not simply there. A head that is whole on every rank (a family
    without a tensor-parallel plan) is shared out here.
    """
    head = model.get_output_embeddings()
    take = held or (lambda name: getattr(head, name, None))
    weight, bias = take("weight"), take("bias")
    assert weight is not None
    weight = weight.detach()
    vocabulary = int(weight.shape[0])
    config = model.config.get_text_config()
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
    return Readout(
        norm=norm,
        weight=_share(weight, ranks),
        bias=None if bias is None else _share(bias.detach(), ranks).float(),
        scale=scale,
        softcap=getattr(config, "final_logit_softcapping", None),
        vocabulary=vocabulary,
        start=ranks.bounds(vocabulary)[0],
        ranks=ranks,
    )


def _share(rows: Tensor, ranks: Ranks) -> Tensor:
    local: Tensor = rows.to_local() if isinstance(rows, DTensor) else rows
    start, stop = ranks.bounds(rows.shape[0])
    return local if len(local) == stop - start else ranks.share(local, 0)
