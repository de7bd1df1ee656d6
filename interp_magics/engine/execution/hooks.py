"""A hook at a port: the tensors in its slots go to whoever reads or replaces them, wherever the module has them."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..arch import Port, Slot

#: What is in the slots of a port.
Parts = Sequence[Tensor | None]
#: Given what is in the slots, what is to be there instead; None to leave it.
Change = Callable[[Parts], Parts | None]


def hook(port: Port, change: Change) -> RemovableHandle:
    """Call `change` whenever the module runs."""

    def on_input(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        new = change([_argument(args, kwargs, slot) for slot in port.slots])
        if new is None:
            return None
        for slot, value in zip(port.slots, new, strict=True):
            args, kwargs = _with(args, kwargs, slot, value)
        return args, kwargs

    def on_output(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        outputs = list(output) if isinstance(output, tuple) else [output]
        new = change([outputs[slot.place] for slot in port.slots])
        if new is None:
            return None
        for slot, value in zip(port.slots, new, strict=True):
            outputs[slot.place] = value
        return tuple(outputs) if isinstance(output, tuple) else outputs[0]

    if port.side == "input":
        return port.module.register_forward_pre_hook(on_input, with_kwargs=True)
    return port.module.register_forward_hook(on_output)


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], slot: Slot) -> Any:
    if slot.name in kwargs:
        return kwargs[slot.name]
    return args[slot.place] if slot.place < len(args) else None


def _with(args: tuple[Any, ...], kwargs: dict[str, Any], slot: Slot, value: Any) -> tuple[Any, dict[str, Any]]:
    if slot.name in kwargs:
        return args, {**kwargs, slot.name: value}
    return (*args[: slot.place], value, *args[slot.place + 1 :]), kwargs


def joined(parts: Parts) -> Tensor:
    """The value of parts: their sum."""
    first, second = (*parts, None)[:2]
    assert first is not None
    return first if second is None else first + second


def parted(value: Tensor, parts: Parts) -> Parts:
    """Parts that sum to a value, as many as there were."""
    return [value, *(None if part is None else part.new_zeros(part.shape) for part in parts[1:])]
