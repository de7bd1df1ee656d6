"""Where vLLM keeps the sites of a family: in its own modules for those in `NATIVE`, else in transformers', some of which it fuses."""

from dataclasses import replace
from typing import Any, Literal

from torch import nn

from ..arch import Adapt, Family, Heads, Slot
from .seam import is_native

_PAGED = {"attn_pattern": "attention over pages never forms it; ask a group with the transformers engine"}
_FUSED = "qkv_proj"
#: Blocks are called with (positions, hidden_states, residual) and give (hidden_states, residual): what a sublayer has put out is
#: added by the norm that comes next.
_STREAM = (Slot(1), Slot(2, "residual"))
_LEFT = (Slot(0), Slot(1))


def adaptation(model: Any) -> Adapt:
    """What makes of a family what it is in a model of vLLM's."""
    return _native if is_native(model) else _adapted


def _native(family: Family, block: nn.Module) -> Family:
    """A family in vLLM's own modules."""
    late = replace(family, entering=_STREAM, leaving=_LEFT, attending=(Slot(1),), between=_between(block), flat=True)
    experts = "block_sparse_moe"
    if _there(experts, block):
        late = replace(late, mlp=experts, mlp_out=experts)
    return _adapted(replace(late, q=_headed(late.q), k=_headed(late.k)), block)


def _between(block: nn.Module) -> str | None:
    """The norm that adds what attention has put out: of blocks that norm that first, the one after."""
    return _there("pre_feedforward_layernorm", block) or _there("post_attention_layernorm", block)


def _headed(heads: Heads | None) -> Heads | None:
    """Norms of heads see them one beside another."""
    return replace(heads, layout="bthd") if heads and heads.layout == "bhtd" else heads


def _adapted(family: Family, block: nn.Module) -> Family:
    """A family as its blocks are here: q, k and v of projections that were made one, nothing of modules that are gone."""
    return replace(
        family,
        q=_heads(family.q, "q", block),
        k=_heads(family.k, "k", block),
        v=_heads(family.v, "v", block),
        head_out=_there(family.head_out, block),
        mlp_act=_there(family.mlp_act, block),
        missing={**family.missing, **_PAGED},
    )


def _heads(heads: Heads | None, part: Literal["q", "k", "v"], block: nn.Module) -> Heads | None:
    if heads is None or _there(heads.path, block):
        return heads
    fused = f"{heads.path.rpartition('.')[0]}.{_FUSED}"
    return Heads(fused, part=part) if _there(fused, block) else None


def _there(path: str | None, block: nn.Module) -> str | None:
    try:
        return path if path and block.get_submodule(path) else None
    except AttributeError:
        return None
