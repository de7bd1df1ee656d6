"""A training's state as named tensors, and back: what is written so that it can go on elsewhere."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import RequestError
from .trainer import State

_NUMBERS = ("threshold_weight", "scale", "scale_out")
_COUNTS = ("seen", "batches", "slices")
_TENSORS = ("since", "dead", "threshold")
_DTYPES = ("float32", "bfloat16")


def to_tensors(state: State) -> dict[str, Tensor]:
    """Everything of a state; numbers as float64 and int64, so that nothing is lost."""
    made = {f"weights/{name}": value for name, value in state.weights.items()}
    for order, kind in enumerate(state.moments, 1):
        made |= {f"moment{order}/{name}": value for name, value in kind.items()}
    made |= {name: getattr(state, name) for name in _TENSORS}
    made["numbers"] = torch.tensor([getattr(state, name) for name in _NUMBERS], dtype=torch.float64)
    counts = [*(getattr(state, name) for name in _COUNTS), _DTYPES.index(state.dtype)]
    made["counts"] = torch.tensor(counts, dtype=torch.int64)
    return {name: value.detach().cpu().clone() for name, value in made.items()}


def from_tensors(tensors: Mapping[str, Tensor], device: torch.device) -> State:
    """Raises RequestError for tensors that are not a state."""
    try:
        weights, first, second = (
            {
                name.removeprefix(prefix): value.clone().to(device)
                for name, value in tensors.items()
                if name.startswith(prefix)
            }
            for prefix in ("weights/", "moment1/", "moment2/")
        )
        numbers = dict(zip(_NUMBERS, tensors["numbers"].tolist(), strict=True))
        *counts, dtype = (int(number) for number in tensors["counts"].tolist())
        others = {name: tensors[name].clone().to(device) for name in _TENSORS}
        if not weights.keys() == first.keys() == second.keys():
            raise ValueError("weights and moments differ")
        return State(
            weights=weights,
            moments=[first, second],
            **others,
            **numbers,
            **dict(zip(_COUNTS, counts, strict=True)),
            dtype=_DTYPES[dtype],
        )
    except (KeyError, ValueError, IndexError) as error:
        raise RequestError(f"this is not the state of a training ({error})") from None
