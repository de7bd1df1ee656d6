"""What the engine is held against: the model's own forward in float64, read by plain hooks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM


@dataclass(frozen=True)
class Lens:
    """Float64 results [layers, positions, ...] of a per-layer lens over the stream after each block."""

    logprobs: Tensor
    entropy: Tensor
    kl: Tensor


def load(path: Path, dtype: torch.dtype = torch.float64) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        path, dtype=dtype, attn_implementation="eager", experts_implementation="eager"
    ).eval()


def parts(model: Any) -> tuple[list[Any], Any, Any]:
    """(blocks, final norm, head), found by hand for the families under test."""
    inner = model.model if hasattr(model, "model") else getattr(model, "transformer", getattr(model, "gpt_neox", None))
    inner = getattr(inner, "language_model", getattr(inner, "decoder", inner))
    blocks = list(inner.h if hasattr(inner, "h") else inner.layers)
    for name in ("norm", "ln_f", "final_layer_norm"):
        if hasattr(inner, name):
            return blocks, getattr(inner, name), model.get_output_embeddings()
    raise AssertionError(type(model))


def streams(model: Any, ids: list[int]) -> tuple[Tensor, Tensor]:
    """(the stream after every block [layers, T, d], the model's own logits [T, V])."""
    caught: list[Tensor] = []
    blocks, _, _ = parts(model)

    def keep(module: Any, args: Any, output: Any) -> None:
        caught.append((output[0] if isinstance(output, tuple) else output)[0].detach())

    handles = [block.register_forward_hook(keep) for block in blocks]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0]
    for handle in handles:
        handle.remove()
    return torch.stack(caught), logits


def lens(model: Any, ids: list[int]) -> Lens:
    stack, _ = streams(model, ids)
    _, norm, head = parts(model)
    config = model.config.get_text_config()
    with torch.no_grad():
        logits = head(norm(stack))
    logits = logits * (getattr(config, "logit_scale", None) or 1) / (getattr(config, "logits_scaling", None) or 1)
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = cap * torch.tanh(logits / cap)
    logprobs = logits.log_softmax(-1)
    p = logprobs.exp()
    final = logprobs[-1]
    return Lens(logprobs, -(p * logprobs).sum(-1), (final.exp() * (final - logprobs)).sum(-1))
