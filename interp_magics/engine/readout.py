"""The way from the stream to logits: final norm, head, scale and soft cap."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Readout:
    """logits = softcap * tanh(scale * (W norm(h) + b) / softcap), the cap only where the model has one.

    `weight` is [vocabulary, d_model] in the model's dtype. Every product is accumulated and returned in float32.
    """

    norm: nn.Module
    weight: Tensor
    bias: Tensor | None
    scale: float
    softcap: float | None

    @property
    def vocabulary(self) -> int:
        return int(self.weight.shape[0])

    def product(self, normed: Tensor, start: int, stop: int, out: Tensor | None = None) -> Tensor:
        """Logits [n, stop - start] in float32 of rows `normed` [n, d_model], which the final norm has been applied to."""
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
        """All logits [n, vocabulary] in float32."""
        return self.product(normed, 0, self.vocabulary)

    def chosen(self, normed: Tensor, ids: Tensor) -> Tensor:
        """Logits [n, len(ids)] in float32 of the tokens `ids` alone."""
        bias = None if self.bias is None else self.bias[ids]
        part = Readout(self.norm, self.weight[ids], bias, self.scale, self.softcap)
        return part.logits(normed)


def find_readout(model: nn.Module, norm: nn.Module) -> Readout:
    """The readout of a Hugging Face causal model, from its output embeddings and the settings that scale logits."""
    head = model.get_output_embeddings()
    config = model.config.get_text_config()
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
    return Readout(
        norm=norm,
        weight=head.weight.detach(),
        bias=None if getattr(head, "bias", None) is None else head.bias.detach().float(),
        scale=scale,
        softcap=getattr(config, "final_logit_softcapping", None),
    )
