"""The operations of edits, as functions from values [n, ..., width] to new values, computed in float32."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...program.operations import (
    Ablate,
    AblateSubspace,
    Add,
    AddKeepingNorm,
    Clamp,
    ClampLatent,
    Interpolate,
    Op,
    Set,
    Zero,
)

_TINY = torch.finfo(torch.float32).tiny


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True).clamp_min(_TINY)


def _coordinate(value: Tensor, unit: Tensor) -> Tensor:
    return (value * unit).sum(-1, keepdim=True)


def add(op: Add | AddKeepingNorm, value: Tensor, vector: Tensor) -> Tensor:
    if op.unit == "stream":
        return value + op.scale * value.norm(dim=-1, keepdim=True) * _unit(vector)
    return value + op.scale * vector


def add_keeping_norm(op: AddKeepingNorm, value: Tensor, vector: Tensor) -> Tensor:
    moved = add(op, value, vector)
    return moved * (value.norm(dim=-1, keepdim=True) / moved.norm(dim=-1, keepdim=True).clamp_min(_TINY))


def set_to(op: Set, value: Tensor, vector: Tensor) -> Tensor:
    return vector.expand_as(value)


def zero(op: Zero, value: Tensor, vector: Tensor | None) -> Tensor:
    return torch.zeros_like(value)


def ablate(op: Ablate, value: Tensor, vector: Tensor) -> Tensor:
    unit = _unit(vector)
    return value - _coordinate(value, unit) * unit


def ablate_subspace(op: AblateSubspace, value: Tensor, vectors: Tensor) -> Tensor:
    """`vectors` [n, width] may depend on each other: only what they span is taken away."""
    _, sizes, basis = torch.linalg.svd(vectors, full_matrices=False)
    basis = basis[sizes > sizes.amax() * vectors.shape[-1] * torch.finfo(torch.float32).eps]
    return value - value @ basis.T @ basis


def clamp(op: Clamp, value: Tensor, vector: Tensor) -> Tensor:
    unit = _unit(vector)
    here = _coordinate(value, unit)
    return value + (here.clamp(op.low, op.high) - here) * unit


def clamp_latent(op: ClampLatent, value: Tensor, vectors: Tensor) -> Tensor:
    """`vectors` [2, width]: the latent's encoder column and decoder row."""
    column, row = vectors
    before = (value * column).sum(-1, keepdim=True) + op.bias
    active = torch.threshold(before, max(op.threshold, 0.0), 0.0)
    held = active if op.times == 1 else op.times * active
    if op.low is not None or op.high is not None:
        held = held.clamp(op.low, op.high)
    if op.above is not None:
        held = torch.where(active > op.above, held, active)
    return torch.addcmul(value, held - active, row)


def interpolate(op: Interpolate, value: Tensor, vector: Tensor) -> Tensor:
    return vector + op.share * (value - vector)


#: Operation by the tag of its struct. `copy` and `splice` are not among them: one reads other rows, so the tape does it,
#: the other a whole dictionary.
OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "add": add,
    "add_keeping_norm": add_keeping_norm,
    "set": set_to,
    "zero": zero,
    "ablate": ablate,
    "ablate_subspace": ablate_subspace,
    "clamp": clamp,
    "clamp_latent": clamp_latent,
    "interpolate": interpolate,
}
OP_NAMES = (*OPERATIONS, "splice", "copy")


def bind(op: Op, vector: Tensor | None) -> Callable[[Tensor], Tensor]:
    """`op` as a function of the values alone; the result has their dtype. An op of several vectors has them stacked."""
    operation: Any = OPERATIONS[str(op.__struct_config__.tag)]
    exact = None if vector is None else vector.float()

    def apply(value: Tensor) -> Tensor:
        here = None if exact is None else exact.to(value.device)
        return operation(op, value.float(), here).to(value.dtype)

    return apply
