"""Norms and attention patterns held at what they are, so that a gradient sees a linear model (as attribution wants it)."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from ...errors import RequestError

_NAME = "interp_frozen"


@contextmanager
def frozen(model: Any, decoder: nn.Module, what: tuple[str, ...]) -> Iterator[None]:
    """While this lasts, gradients do not pass through the scales of norms ("norm") or through patterns ("attention")."""
    with ExitStack() as stack:
        if "norm" in what:
            for module in decoder.modules():
                if _is_norm(module):
                    stack.callback(module.register_forward_hook(_frozen_norm).remove)
        if "attention" in what:
            if not hasattr(sys.modules[type(decoder).__module__], "eager_attention_forward"):
                family = model.config.get_text_config().model_type
                raise RequestError(f"the attention patterns of {family} cannot be frozen; freeze the norms alone")
            usual = model.config.get_text_config()._attn_implementation
            AttentionInterface.register(_NAME, _frozen_attention)
            AttentionMaskInterface.register(_NAME, eager_mask)
            model.set_attn_implementation(_NAME)
            stack.callback(model.set_attn_implementation, usual)
        yield


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower() and getattr(module, "weight", None) is not None


def _frozen_norm(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    """y + s w (dx - mean dx): the norm's own value, with the scale s of this pass as a constant.

    What a norm does is read off itself: its bias is what it makes of zeros, its weight what it makes of +1, -1, +1, …,
    whose root mean square is 1 and whose mean is 0 (for an even width); one that subtracts the mean makes zeros of ones.
    """
    value = args[0]
    with torch.no_grad():
        probe = torch.ones(value.shape[-1], dtype=value.dtype, device=value.device)
        bias = module.forward(torch.zeros_like(probe))
        centred = _is_zero(module.forward(probe) - bias)
        sign = probe.clone()
        sign[1::2] = -1
        weight = (module.forward(sign * 1e3) - bias) * sign
        here = value - value.mean(-1, keepdim=True) if centred else value
        scaled = here.float() * weight.float()
        scale = ((output - bias).float() * scaled).sum(-1, keepdim=True) / scaled.square().sum(
            -1, keepdim=True
        ).clamp_min(1e-30)
        factor = (scale * weight.float()).to(value.dtype)
    change = value - value.detach()
    return output.detach() + factor * (change - change.mean(-1, keepdim=True) if centred else change)


def _is_zero(value: Tensor) -> bool:
    return bool(value.abs().max() < 1e-3)


def _frozen_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor]:
    """The family's own eager attention for the pattern, which is then a constant; the values alone carry the gradient."""
    eager = sys.modules[type(module).__module__].eager_attention_forward
    with torch.no_grad():
        _, pattern = eager(module, query, key, value, attention_mask, **options)
    whole = value.repeat_interleave(pattern.shape[1] // value.shape[1], dim=1)
    return (pattern.to(whole.dtype) @ whole).transpose(1, 2).contiguous(), pattern
