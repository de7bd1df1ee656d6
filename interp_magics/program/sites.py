"""The sites of a transformer block by their semantic names, and the names other tools give them."""

import re
from typing import Final

from ..errors import RequestError, nearest

#: All sites in the order in which a pass reaches them within a block.
SITES: Final = (
    "embed",
    "resid_pre",
    "ln_attn",
    "q",
    "k",
    "v",
    "attn_pattern",
    "head_out",
    "attn_out",
    "resid_mid",
    "ln_mlp",
    "mlp_act",
    "mlp_out",
    "resid_post",
    "ln_final",
    "logits",
)

#: Sites that exist once in the model rather than once per layer; their layer is 0.
GLOBAL_SITES: Final = frozenset({"embed", "ln_final", "logits"})

#: Sites as wide as the residual stream, which a lens can decode.
STREAM_SITES: Final = frozenset(
    {"embed", "resid_pre", "ln_attn", "attn_out", "resid_mid", "ln_mlp", "mlp_out", "resid_post"}
)

_TRANSFORMER_LENS: Final = {
    "hook_embed": "embed",
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
    "ln1.hook_normalized": "ln_attn",
    "ln2.hook_normalized": "ln_mlp",
    "attn.hook_q": "q",
    "attn.hook_k": "k",
    "attn.hook_v": "v",
    "attn.hook_z": "head_out",
    "attn.hook_pattern": "attn_pattern",
    "mlp.hook_post": "mlp_act",
    "ln_final.hook_normalized": "ln_final",
}

_MODULES: Final = {
    "embed_tokens": "embed",
    "wte": "embed",
    "self_attn": "attn_out",
    "attention": "attn_out",
    "attn": "attn_out",
    "mlp": "mlp_out",
    "norm": "ln_final",
    "ln_f": "ln_final",
    "final_layer_norm": "ln_final",
    "lm_head": "logits",
    "embed_out": "logits",
}

_TL_BLOCK = re.compile(r"^blocks\.(\d+)\.(.+)$")
_HF_BLOCK = re.compile(r"^(?:\w+\.)*(?:layers|h|blocks)\.(\d+)(?:\.(\w+))?$")
_SHORT = re.compile(r"^(\w+?)[.@](\d+)$")


def parse_site(name: str) -> tuple[str, int | None]:
    """(semantic name, layer or None when the name carries none).

    Accepts the semantic names, TransformerLens hook names (`blocks.3.hook_resid_post`) and Hugging Face module paths
    (`model.layers.3.mlp`, whose output it means). Raises RequestError with the nearest names otherwise.
    """
    if name in SITES:
        return name, None
    if match := _TL_BLOCK.match(name):
        site = _TRANSFORMER_LENS.get(match[2])
        if site:
            return site, int(match[1])
    if name in _TRANSFORMER_LENS:
        return _TRANSFORMER_LENS[name], None
    if match := _HF_BLOCK.match(name):
        site = _MODULES.get(match[2]) if match[2] else "resid_post"
        if site:
            return site, int(match[1])
    if (match := _SHORT.match(name)) and match[1] in SITES:
        return match[1], int(match[2])
    last = name.rsplit(".", 1)[-1]
    if last in _MODULES and last not in {"attn", "mlp", "self_attn", "attention"}:
        return _MODULES[last], None
    raise RequestError(f"unknown site {name!r}{nearest(name, SITES)}")
