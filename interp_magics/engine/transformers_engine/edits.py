"""The operations of edits, as functions from values [n, ..., width] to new values, computed in float32."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...program.language import Ablate, Add, Clamp, Interpolate, Op, Set, Zero

Operation = Callable[[Tensor, Tensor | None], Tensor]


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)


def _coordinate(value: Tensor, unit: Tensor) -> Tensor:
    return (value * unit).sum(-1, keepdim=True)


def add(op: Add, value: Tensor, vector: Tensor) -> Tensor:
    if op.unit == "stream":
        return value + op.scale * value.norm(dim=-1, keepdim=True) * _unit(vector)
    return value + op.scale * vector


def set_to(op: Set, value: Tensor, vector: Tensor) -> Tensor:
    return vector.expand_as(value)


def zero(op: Zero, value: Tensor, vector: Tensor | None) -> Tensor:
    return torch.zeros_like(value)


def ablate(op: Ablate, value: Tensor, vector: Tensor) -> Tensor:
    unit = _unit(vector)
    return value - _coordinate(value, unit) * unit


def clamp(op: Clamp, value: Tensor, vector: Tensor) -> Tensor:
    unit = _unit(vector)
    here = _coordinate(value, unit)
    return value + (here.clamp(op.low, op.high) - here) * unit


def interpolate(op: Interpolate, value: Tensor, vector: Tensor) -> Tensor:
    return vector + op.share * (value - vector)


#: Operation by the tag of its struct. `copy` is not among them: it reads other rows, so the tape does it.
OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "add": add,
    "set": set_to,
    "zero": zero,
    "ablate": ablate,
    "clamp": clamp,
    "interpolate": interpolate,
}
OP_NAMES = (*OPERATIONS, "copy")


def bind(op: Op, vector: Tensor | None) -> Callable[[Tensor], Tensor]:
    """`op` as a function of the values alone; the result has their dtype."""
    operation: Any = OPERATIONS[str(op.__struct_config__.tag)]
    exact = None if vector is None else vector.float()

    def apply(value: Tensor) -> Tensor:
        here = None if exact is None else exact.to(value.device)
        return operation(op, value.float(), here).to(value.dtype)

    return apply
