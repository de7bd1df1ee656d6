"""transformers' own tensor parallelism: what it is asked at load, and what it cannot divide."""

from typing import Any

from ...errors import RequestError
from ..arch import read_shapes
from ..ranks import Ranks


def has_plan(config: Any) -> bool:
    """Whether transformers knows how to cut this family; else every rank holds all of it but the readout."""
    return bool(getattr(config.get_text_config(), "base_model_tp_plan", None))


def check(config: Any, ranks: Ranks) -> None:
    """Raise RequestError when the ranks do not divide the heads."""
    shapes = read_shapes(config)
    for what, count in (("attention heads", shapes.heads), ("key-value heads", shapes.kv_heads)):
        if count % ranks.size:
            raise RequestError(f"{count} {what} cannot be divided among {ranks.size} ranks; {advice(shapes.kv_heads)}")


def advice(kv_heads: int) -> str:
    """Which numbers of ranks divide the heads."""
    fitting = [str(n) for n in range(1, kv_heads + 1) if kv_heads % n == 0]
    return f"tp= may be {' or '.join(fitting)}"


def arguments(config: Any, ranks: Ranks) -> dict[str, Any]:
    """What `from_pretrained` is given."""
    if ranks.size == 1 or not has_plan(config):
        return {}
    check(config, ranks)
    from transformers.distributed import DistributedConfig

    return {"distributed_config": DistributedConfig(tp_size=ranks.size)}
