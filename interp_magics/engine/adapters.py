"""LoRA adapters that an administrator registers for a model."""

from pathlib import Path

from ..errors import RequestError
from ..launch.config import ModelSpec


def registered(spec: ModelSpec) -> Path | None:
    """The directory of a model's adapter; None when it has none. Raises RequestError when its weights are not in safetensors."""
    if spec.adapter is None:
        return None
    path = Path(spec.adapter)
    if not (path / "adapter_model.safetensors").is_file():
        raise RequestError(f"the adapter of {spec.name!r} has no adapter_model.safetensors in {path}")
    return path


def remarks(spec: ModelSpec) -> tuple[str, ...]:
    """What a card says of a model's adapter."""
    return (f"LoRA adapter {Path(spec.adapter).name} applied",) if spec.adapter else ()
