"""A slice of a training on a worker: passes, rows out of them, and steps, each of which may be interrupted."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ...data import training as parts
from ...data.dictionary_object import plain_of, tensors_of
from ...data.files import Array
from ...data.training import Reached, TrainingMeta, TrainingPart
from ...engine.dictionaries.finished import finished
from ...engine.dictionaries.states import check, from_tensors, to_tensors
from ...engine.dictionaries.trainer import Trainer, begin
from ...engine.protocol import Engine, Outcome
from ...errors import RequestError
from ...program.dictionaries import Recipe, of_rate
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


def started(request: TrainRequest, found: Rows, device: torch.device) -> list[Trainer]:
    """Trainers that begin from a first slice."""
    return [begin(recipe, *_pair(recipe, found), device) for recipe in request.recipes]


def resumed(request: TrainRequest, tensors: Mapping[str, Tensor], engine: Engine) -> list[Trainer]:
    """Trainers as a checkpoint left them. Raises RequestError for one of other recipes."""
    made = []
    for number, recipe in enumerate(request.recipes):
        prefix = f"{number}/"
        some = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        state = from_tensors(some, engine.device)
        if state.slices != request.slice:
            raise RequestError("the checkpoint is of another slice of the training")
        check(state, recipe, *(plan.width(engine.card, site) for site in (recipe.site, recipe.site_out or recipe.site)))
        made.append(Trainer(recipe, state))
    return made


def learn(trainers: Sequence[Trainer], found: Rows, seconds: list[float]) -> Iterator[None]:
    """All trainers learn from a slice, one after another, pausing after every batch; what each has taken is added to its
    `seconds`."""
    for number, trainer in enumerate(trainers):
        if trainer.over or not found:
            continue
        begun = time.perf_counter()
        for _ in trainer.learn(*_pair(trainer.recipe, found)):
            seconds[number] += time.perf_counter() - begun
            yield
            begun = time.perf_counter()


def told(
    request: TrainRequest,
    trainers: Sequence[Trainer],
    seconds: Sequence[float],
    found: Rows,
    engine: Engine,
    epoch: str,
) -> bytes:
    """How they do; what was asked for of what they have come to."""
    over = request.finish or all(trainer.over for trainer in trainers)
    tensors: dict[str, Array] = {}
    plain = []
    made_from = {"model": engine.card.name, "checkpoint": engine.card.digest}
    for number, trainer in enumerate(trainers):
        if over:
            made = finished(trainer.recipe, trainer.state, made_from)
            tensors |= {f"dictionary/{number}/{name}": value for name, value in tensors_of(made).items()}
            plain.append(plain_of(made))
        if request.checkpoint:
            states = to_tensors(trainer.state)
            tensors |= {f"state/{number}/{name}": to_numpy(value) for name, value in states.items()}
    reached = tuple(_reached(trainer, spent) for trainer, spent in zip(trainers, seconds, strict=True))
    tokens = len(next(iter(found.values()))) if found else 0
    brief = TrainRequest((), request.recipes, request.training, request.slice)
    meta = TrainingMeta(request.slice, tokens, reached, epoch, over, provenance(brief, engine), tuple(plain))
    return parts.encode(TrainingPart(meta, tensors))


def _reached(trainer: Trainer, seconds: float) -> Reached:
    state, recipe = trainer.state, trainer.recipe
    fvu = trainer.tally.fvu
    return Reached(
        seen=state.seen,
        fvu=fvu if fvu == fvu else None,
        l0=trainer.tally.l0,
        dead=float((state.since > recipe.window).double().mean()),
        window=recipe.window,
        rate=trainer.rate * of_rate(recipe, state.seen),
        seconds=seconds,
    )


def _pair(recipe: Recipe, found: Rows) -> tuple[Tensor, Tensor | None]:
    x = found[recipe.site, recipe.layer]
    return x, None if recipe.site_out is None else found[recipe.site_out, plan.written_layer(recipe)]
