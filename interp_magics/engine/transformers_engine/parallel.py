"""transformers' own tensor parallelism: what it is asked at load, and what it cannot divide."""

from typing import Any

from ...launch.checks import check_heads
from ..arch import shapes_of
from ..ranks import Ranks


def has_plan(config: Any) -> bool:
    """Whether transformers knows how to cut this family; else every rank holds all of it but the readout."""
    return bool(getattr(config.get_text_config(), "base_model_tp_plan", None))


def arguments(config: Any, ranks: Ranks) -> dict[str, Any]:
    """What `from_pretrained` is given."""
    if ranks.size == 1 or not has_plan(config):
        return {}
    check_heads(shapes_of(config), ranks.size)
    from transformers.distributed import DistributedConfig

    return {"distributed_config": DistributedConfig(tp_size=ranks.size)}
