"""What can be told of a model before any process starts: from its configuration file alone."""

import json
from pathlib import Path

from ..errors import RequestError
from .config import ModelSpec


def check_ranks(spec: ModelSpec) -> None:
    """Raise RequestError when `spec.tp` ranks do not divide the heads of a checkpoint on this machine.

    A checkpoint that is still to be downloaded is checked by its worker.
    """
    if spec.tp < 1:
        raise RequestError(f"tp={spec.tp}: a model runs on one rank or more")
    file = Path(spec.path) / "config.json"
    if spec.tp == 1 or not file.is_file():
        return
    config = json.loads(file.read_text())
    config = config.get("text_config", config)
    heads = config.get("num_attention_heads") or config.get("n_head") or 0
    kv_heads = config.get("num_key_value_heads") or heads
    check_heads(heads, kv_heads, spec.tp)


def check_heads(heads: int, kv_heads: int, ranks: int) -> None:
    """Raise RequestError, with the numbers of ranks that would do, when the heads cannot be divided."""
    for what, count in (("attention heads", heads), ("key-value heads", kv_heads)):
        if count % ranks:
            fitting = " or ".join(str(n) for n in range(1, kv_heads + 1) if kv_heads % n == 0)
            raise RequestError(f"{count} {what} cannot be divided among {ranks} ranks; tp= may be {fitting}")
