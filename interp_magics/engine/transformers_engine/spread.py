"""A model that one device does not hold: accelerate lays its layers over all devices, then the host's memory, then the disk.

A stated fallback: devices work one after another, and what lies on the host or the disk is fetched for every pass. Tensor
parallelism is the way for families that have a plan.
"""

from pathlib import Path
from typing import Any

import torch
from accelerate.utils import align_module_device, convert_file_size_to_int
from torch import Tensor, nn

from ...errors import RequestError
from ...launch.config import ModelSpec

#: Of a device's free memory, what weights may take; activations and keys and values need the rest.
_SHARE = 0.8


def arguments(spec: ModelSpec, free: int | None) -> dict[str, Any]:
    """What `from_pretrained` is given: a device map when the spec limits its memory, or when the weights of a checkpoint on
    this machine do not fit the `free` bytes of the device. Raises RequestError."""
    if spec.tp > 1:
        if spec.max_memory:
            raise RequestError("a model on several ranks is not laid over devices as well; leave max_memory out, or tp")
        return {}
    if spec.max_memory:
        return {"device_map": "auto", "max_memory": parse(spec.max_memory)}
    weights = sum(file.stat().st_size for file in Path(spec.path).glob("*.safetensors"))
    return {"device_map": "auto"} if free is not None and weights > _SHARE * free else {}


def parse(text: str) -> dict[int | str, int]:
    """ "0=20GB,cpu=60GB" as accelerate wants it, in bytes. Raises RequestError."""
    made: dict[int | str, int] = {}
    for part in text.split(","):
        device, _, size = (piece.strip() for piece in part.partition("="))
        try:
            made["cpu" if device == "cpu" else int(device)] = convert_file_size_to_int(size)
        except ValueError:
            raise RequestError(f"max_memory is written as 0=20GB,1=20GB,cpu=60GB, not {text!r}") from None
    return made


def is_spread(model: Any) -> bool:
    """Whether accelerate has laid the model out."""
    return getattr(model, "hf_device_map", None) is not None


def device_of(model: Any, usual: torch.device) -> torch.device:
    """Where token ids enter."""
    if not is_spread(model):
        return usual
    embeddings = model.get_input_embeddings()
    hook = getattr(embeddings, "_hf_hook", None)
    place = getattr(hook, "execution_device", None)
    return embeddings.weight.device if place is None else torch.device(place)


def described(model: Any) -> tuple[str, ...]:
    """A remark for the model's card."""
    if not is_spread(model):
        return ()
    places = [str(place) for place in model.hf_device_map.values()]
    counts = ", ".join(f"{places.count(place)} on {place}" for place in dict.fromkeys(places))
    return (f"laid over several devices by accelerate ({counts} of its modules), which is slow",)


def held(module: nn.Module, name: str) -> Tensor | None:
    """A parameter where it is, or a copy in hand of one that lies elsewhere."""
    if getattr(module, name, None) is None:
        return None
    value: Tensor = getattr(module, name).detach()
    if value.device.type != "meta":
        return value
    with align_module_device(module):
        return getattr(module, name).detach().clone()
