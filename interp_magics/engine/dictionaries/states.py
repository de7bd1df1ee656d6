"""A training's state as named tensors, and back: what is written so that it can go on elsewhere."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...errors import RequestError
from ...program.dictionaries import Recipe
from .shards import Shard
from .trainer import DTYPES, State

_NUMBERS = ("threshold_weight", "scale", "scale_out")
_COUNTS = ("seen", "batches", "slices")
_TENSORS = ("since", "dead", "threshold")
#: What every rank has of a dictionary that is shared out.
_COMMON = ("b_dec", "threshold", "numbers", "counts")


def to_tensors(state: State) -> dict[str, Tensor]:
    """Everything of a state; numbers as float64 and int64, so that nothing is lost."""
    made = {f"weights/{name}": value for name, value in state.weights.items()}
    for order, kind in enumerate(state.moments, 1):
        made |= {f"moment{order}/{name}": value for name, value in kind.items()}
    made |= {name: getattr(state, name) for name in _TENSORS}
    made["numbers"] = torch.tensor([getattr(state, name) for name in _NUMBERS], dtype=torch.float64)
    counts = [*(getattr(state, name) for name in _COUNTS), DTYPES.index(state.dtype)]
    made["counts"] = torch.tensor(counts, dtype=torch.int64)
    return {name: value.detach().cpu().clone() for name, value in made.items()}


def shared_out(tensors: Mapping[str, Tensor], shard: Shard) -> dict[str, Tensor]:
    """What a rank has of a state."""
    rank, size = shard.ranks.rank, shard.ranks.size
    made = {name: value if _common(name) else shard.of(value) for name, value in tensors.items() if name != "dead"}
    dead = tensors["dead"]
    return made | {"dead": dead[dead % size == rank] // size}


def joined(shares: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """A state of what each rank, in order, has of it."""
    size = len(shares)
    made = {
        name: value if _common(name) else _woven([share[name] for share in shares])
        for name, value in shares[0].items()
        if name != "dead"
    }
    dead = torch.cat([share["dead"] * size + rank for rank, share in enumerate(shares)])
    return made | {"dead": dead.sort().values}


def _common(name: str) -> bool:
    return name.rpartition("/")[2] in _COMMON


def _woven(parts: Sequence[Tensor]) -> Tensor:
    made = torch.empty(sum(map(len, parts)), *parts[0].shape[1:], dtype=parts[0].dtype)
    for rank, part in enumerate(parts):
        made[rank :: len(parts)] = part
    return made


def shapes_of(recipe: Recipe, width: int, out: int) -> dict[str, tuple[int, ...]]:
    """The weights of a recipe's dictionary, which reads `width` and writes `out`."""
    m = recipe.latents
    made: dict[str, tuple[int, ...]] = {"encoder": (m, width), "decoder": (m, out), "b_enc": (m,), "b_dec": (out,)}
    if recipe.architecture == "jumprelu":
        made["log_threshold"] = (m,)
    if recipe.architecture == "gated":
        made |= {"r_mag": (m,), "b_mag": (m,)}
    return made


def check(state: State, recipe: Recipe, width: int, out: int) -> None:
    """Raise RequestError for a state that is not one of this recipe: it comes from a user, and the optimiser trusts it."""
    wanted = shapes_of(recipe, width, out)
    for kind in (state.weights, *state.moments):
        if {name: tuple(value.shape) for name, value in kind.items()} != wanted:
            raise RequestError("the checkpoint is of a dictionary of another kind or size")
        if not all(value.dtype == torch.float32 and bool(torch.isfinite(value).all()) for value in kind.values()):
            raise RequestError("the checkpoint holds values that are not finite float32")
    counted = state.since.dtype == torch.int64 == state.dead.dtype and tuple(state.since.shape) == (recipe.latents,)
    dead = state.dead
    if not counted or dead.ndim != 1 or (len(dead) and not (int(dead.min()) >= 0 and int(dead.max()) < recipe.latents)):
        raise RequestError("the checkpoint counts latents that the dictionary does not have")
    numbers = [state.scale, state.scale_out, state.threshold_weight]
    sound = all(math.isfinite(number) for number in numbers) and state.scale > 0 and state.scale_out > 0
    if not sound or state.threshold.shape != () or min(state.seen, state.batches, state.slices) < 0:
        raise RequestError("the checkpoint's numbers make no sense")


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
        others["threshold"] = others["threshold"].reshape(())
        if not weights.keys() == first.keys() == second.keys():
            raise ValueError("weights and moments differ")
        return State(
            weights=weights,
            moments=[first, second],
            **others,
            **numbers,
            **dict(zip(_COUNTS, counts, strict=True)),
            dtype=DTYPES[dtype],
        )
    except (KeyError, ValueError, IndexError, OverflowError, RuntimeError) as error:
        raise RequestError(f"this is not the state of a training ({error})") from None
