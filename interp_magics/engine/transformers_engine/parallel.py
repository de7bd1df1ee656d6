"""transformers' own tensor parallelism: what it is asked at load, and what it cannot divide."""

from typing import Any

from ...launch.checks import check_heads
from ..arch import read_shapes
from ..ranks import Ranks


def has_plan(config: Any) -> bool:
    """Whether transformers knows how to cut this family; else every rank holds all of it but the readout."""
    return bool(getattr(config.get_text_config(), "base_model_tp_plan", None))


def check(config: Any, ranks: Ranks) -> None:
    """Raise RequestError when the ranks do not divide the heads."""
    shapes = read_shapes(config)
    check_heads(shapes.heads, shapes.kv_heads, ranks.size)


def arguments(config: Any, ranks: Ranks) -> dict[str, Any]:
    """What `from_pretrained` is given."""
    if ranks.size == 1 or not has_plan(config):
        return {}
    check(config, ranks)
    from transformers.distributed import DistributedConfig

    return {"distributed_config": DistributedConfig(tp_size=ranks.size)}
