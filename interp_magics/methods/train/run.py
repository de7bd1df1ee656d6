"""A slice of a training on a worker: passes, rows out of them, and steps, each of which may be interrupted."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ...data import training as parts
from ...data.dictionary_object import plain_of, tensors_of
from ...data.files import Array
from ...data.training import TrainingMeta, TrainingPart
from ...engine.dictionaries.finished import finished
from ...engine.dictionaries.learners import Training
from ...engine.dictionaries.states import check, from_tensors
from ...engine.protocol import Engine, Outcome
from ...errors import RequestError
from ...program.language import Program
from ..finish import provenance, to_numpy
from ..pieces import pieces
from . import plan
from .request import TrainRequest

Rows = Mapping[tuple[str, int], Tensor]


def programs(request: TrainRequest, engine: Engine) -> tuple[Program, ...]:
    """One for each text, or piece of a text that is longer than the context."""
    context = min(request.context or engine.card.context, engine.card.context)
    cut = [piece for text in request.texts for piece in pieces(engine.tokens, text, context)]
    return tuple(plan.program(request, piece) for piece in cut)


def rows(
    request: TrainRequest, outcomes: Sequence[Outcome], engine: Engine, fetch: Callable[[str], Mapping[str, Tensor]]
) -> Rows:
    """The activations of all positions that are no special tokens, [n, width] by site and layer; a share of them, if that was
    asked for, which the slice's number and the text's draw. `fetch` gives those that were captured before."""
    found = _read(request, outcomes, engine) if request.rows is None else _captured(request, fetch, engine)
    if not request.slice and any(len(values) < 2 for values in found.values()):
        raise RequestError(
            f"the first slice has no two tokens to learn from: {len(request.texts)} texts without their special tokens, and a "
            f"share of {request.share:g} of the rest; give longer texts or a larger share"
        )
    return found


def _read(request: TrainRequest, outcomes: Sequence[Outcome], engine: Engine) -> Rows:
    gathered: dict[tuple[str, int], list[Tensor]] = {}
    for number, outcome in enumerate(outcomes):
        kept = _kept(request, number, outcome.rows[0].token_ids, engine)
        for (site, layers), reading in zip(plan.addresses(request).items(), outcome.readings[0], strict=True):
            values = reading.values[0]
            assert isinstance(values, Mapping)
            for layer, value in zip(layers, values["values"], strict=True):
                gathered.setdefault((site, layer), []).append(value[kept].flatten(1))
    return {address: torch.cat(pieces) for address, pieces in gathered.items()}


def _captured(request: TrainRequest, fetch: Callable[[str], Mapping[str, Tensor]], engine: Engine) -> Rows:
    assert request.rows is not None
    tensors = fetch(request.rows.digest)
    ids = tensors.get("ids")
    if ids is None or ids.shape != (request.count,) or ids.dtype not in (torch.int32, torch.int64):
        raise RequestError(f"the captured rows do not say the tokens of their {request.count} positions")
    kept = _kept(request, 0, ids.tolist(), engine)
    found = {}
    for site, layers in plan.addresses(request).items():
        for layer in layers:
            values = tensors.get(f"{site}/{layer}")
            wanted = (request.count, plan.width(engine.card, site))
            if values is None or tuple(values.shape) != wanted or not values.is_floating_point():
                have = "no numbers" if values is None else f"{values.dtype} {list(values.shape)}"
                raise RequestError(
                    f"the captured rows have {have} at {site!r} of layer {layer}, not numbers of the shape {list(wanted)}"
                )
            found[site, layer] = values[kept]
    return found


def _kept(request: TrainRequest, number: int, ids: Sequence[int], engine: Engine) -> Tensor:
    kept = torch.tensor(engine.tokens.ordinary(ids), dtype=torch.long)
    if request.share < 1:
        draw = torch.Generator().manual_seed(request.slice * 1_000_003 + number)
        kept = kept[(torch.rand(len(ids), generator=draw) < request.share)[kept]]
    return kept


def started(request: TrainRequest, engine: Engine) -> Training:
    """A training that begins from its first slice."""
    return engine.learners.begin(request.recipes, _sizes(request, engine))


def resumed(request: TrainRequest, tensors: Mapping[str, Tensor], engine: Engine) -> Training:
    """A training as a checkpoint left it. Raises RequestError for one of other recipes."""
    states = {}
    for number, recipe in enumerate(request.recipes):
        prefix = f"{number}/"
        states[number] = {
            name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)
        }
        state = from_tensors(states[number], torch.device("cpu"))
        if state.slices != request.slice:
            raise RequestError("the checkpoint is of another slice of the training")
        check(state, recipe, *(plan.width(engine.card, site) for site in (recipe.site, recipe.site_out or recipe.site)))
    return engine.learners.begin(request.recipes, _sizes(request, engine), states)


def _sizes(request: TrainRequest, engine: Engine) -> list[int]:
    return [plan.parameters(recipe, engine.card) for recipe in request.recipes]


def told(request: TrainRequest, training: Training, found: Rows, engine: Engine, epoch: str) -> bytes:
    """How the dictionaries do; what was asked for of what they have come to. Raises what keeps one of them from going on."""
    reached, states = training.reached(request.checkpoint or request.finish)
    over = request.finish or all(
        one.seen >= recipe.tokens for one, recipe in zip(reached, request.recipes, strict=True)
    )
    if over and not states:
        reached, states = training.reached(True)
    tensors: dict[str, Array] = {}
    plain = []
    made_from = {"model": engine.card.name, "checkpoint": engine.card.digest}
    for number, (recipe, state) in enumerate(zip(request.recipes, states, strict=False)):
        if over:
            made = finished(recipe, from_tensors(state, torch.device("cpu")), made_from)
            tensors |= {f"dictionary/{number}/{name}": value for name, value in tensors_of(made).items()}
            plain.append(plain_of(made))
        if request.checkpoint:
            tensors |= {f"state/{number}/{name}": to_numpy(value) for name, value in state.items()}
    tokens = len(next(iter(found.values()))) if found else 0
    brief = TrainRequest((), request.recipes, request.training, request.slice)
    meta = TrainingMeta(request.slice, tokens, tuple(reached), epoch, over, provenance(brief, engine), tuple(plain))
    return parts.encode(TrainingPart(meta, tensors))
