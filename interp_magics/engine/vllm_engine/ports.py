"""Where vLLM keeps the sites of a family: it runs transformers' own modules, some of which it fuses."""

from dataclasses import replace
from typing import Literal

from torch import nn

from ..arch import Family, Heads

_PAGED = {"attn_pattern": "attention over pages never forms it; ask a group with the transformers engine"}
_FUSED = "qkv_proj"


def adapted(family: Family, block: nn.Module) -> Family:
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
