"""The sizes of a decoder as its configuration states them, under whatever names its family uses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import RequestError

_NAMES = {
    "layers": ("num_hidden_layers", "n_layer"),
    "d_model": ("hidden_size", "n_embd"),
    "heads": ("num_attention_heads", "n_head"),
    "vocabulary": ("vocab_size",),
}


@dataclass(frozen=True)
class Shapes:
    """Sizes that a model's configuration states."""

    layers: int
    d_model: int
    d_mlp: int
    heads: int
    kv_heads: int
    d_head: int
    vocabulary: int
    context: int = 2048


def read_shapes(get: Callable[[str], Any]) -> Shapes:
    """Sizes from a configuration; `get` gives a setting by name, or None. Raises RequestError for one without them."""

    def first(*names: str) -> Any:
        return next((value for name in names if (value := get(name))), None)

    found = {what: first(*names) for what, names in _NAMES.items()}
    unsaid = [names[0] for what, names in _NAMES.items() if not found[what]]
    if unsaid:
        raise RequestError(f"the model's configuration does not say {', '.join(unsaid)}")
    heads, d_model = int(found["heads"]), int(found["d_model"])
    return Shapes(
        layers=int(found["layers"]),
        d_model=d_model,
        d_mlp=int(first("intermediate_size", "n_inner", "ffn_dim") or 4 * d_model),
        heads=heads,
        kv_heads=int(first("num_key_value_heads") or heads),
        d_head=int(first("head_dim") or d_model // heads),
        vocabulary=int(found["vocabulary"]),
        context=int(first("max_position_embeddings", "n_positions") or 2048),
    )
