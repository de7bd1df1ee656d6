"""A slice of a training as programs, and what it costs."""

import math
from collections.abc import Sequence

from ...errors import RequestError
from ...program.cards import ModelCard
from ...program.dictionaries import COUNTED, STATE_BYTES, Recipe
from ...program.language import Ids, Program, Raw, Row, Stage, Tap, Text
from ...program.supports import check, check_context, check_ids
from ..cost import Cost, pieces_flops
from .request import TrainRequest

_UNTRAINED = ("logits", "attn_pattern")
#: The name of a training that is only asked about.
NONE = "0" * 32
#: Positions that a slice may bring along.
MOST_ROWS = 1 << 24
#: Dictionaries that one request may train on one stream of activations.
MOST = 64
#: What a step costs in products as large as the encoder's, where few pairs are active and where many may be.
_SPARSE, _DENSE = 1.5, 5.0


def addresses(request: TrainRequest) -> dict[str, tuple[int, ...]]:
    """The layers of each site that are read, for all recipes."""
    wanted: dict[str, set[int]] = {}
    for recipe in request.recipes:
        wanted.setdefault(recipe.site, set()).add(recipe.layer)
        if recipe.site_out is not None:
            wanted.setdefault(recipe.site_out, set()).add(recipe.written_layer)
    return {site: tuple(sorted(layers)) for site, layers in sorted(wanted.items())}


def program(request: TrainRequest, text: Text) -> Program:
    """A pass over one text that reads what all recipes need."""
    taps = tuple(Tap(site, layers, reduce=Raw()) for site, layers in addresses(request).items())
    return Program((Row(text),), (Stage(taps),))


def validate(request: TrainRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card can tell is wrong."""
    if not request.recipes:
        raise RequestError("there is no recipe, so there is nothing to train")
    if len(request.recipes) > MOST:
        raise RequestError(
            f"{len(request.recipes)} dictionaries at once are more than {MOST}; train some after the others"
        )
    if not request.texts and request.rows is None and not request.finish:
        raise RequestError("there is no text to learn from; give at least one")
    if request.texts and request.rows is not None:
        raise RequestError("a slice has texts or rows that were captured, not both")
    if not 0 <= request.count <= MOST_ROWS:
        raise RequestError(f"a slice has 0 to {MOST_ROWS:,} positions, not {request.count}")
    if not 0 < request.share <= 1:
        raise RequestError(f"share must be above 0 and at most 1, not {request.share}")
    check_context(request.context)
    if request.slice < 0:
        raise RequestError(f"a slice has a number from 0 on, not {request.slice}")
    for site in addresses(request):
        if site in _UNTRAINED:
            raise RequestError(f"a dictionary reads activations of a fixed width, which {site!r} does not have")
    if not (request.texts or request.rows or request.slice or request.state or request.training == NONE):
        raise RequestError("a training that has had no text cannot be finished")
    check(program(request, Ids((0,))), card)
    check_ids(request.texts, card)


def width(card: ModelCard, site: str) -> int:
    """How wide a site is; heads side by side."""
    return math.prod(card.sites[site].shape)


def parameters(recipe: Recipe, card: ModelCard) -> int:
    """Weights and biases of a dictionary."""
    return recipe.latents * (width(card, recipe.site) + width(card, recipe.site_out or recipe.site) + 4)


def state_bytes(recipe: Recipe, card: ModelCard) -> int:
    """What a worker holds of a training: weights, Adam's moments, and gradients while it learns."""
    return STATE_BYTES * parameters(recipe, card)


def _step_bytes(recipe: Recipe, card: ModelCard) -> int:
    """What a step holds: pre-activations, lists of active pairs, the reconstructions of all groups."""
    rows = recipe.batch * 3 // 2
    pairs = min(recipe.k, recipe.latents) if recipe.architecture in COUNTED else recipe.latents // 2
    out = width(card, recipe.site_out or recipe.site)
    return rows * (12 * recipe.latents + 64 * pairs + 12 * out * (2 + len(recipe.prefixes)))


def learning_flops(recipe: Recipe, card: ModelCard) -> float:
    """Floating-point operations for each token."""
    read, wrote = width(card, recipe.site), width(card, recipe.site_out or recipe.site)
    encode = 2.0 * recipe.latents * read
    return encode * (_SPARSE if recipe.architecture in COUNTED else _DENSE * (read + wrote) / (2 * read))


def cost(request: TrainRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """The passes, and for every token a step's share of each dictionary."""
    total = sum(tokens) + request.count
    context = min(request.context or card.context, card.context)
    passes = pieces_flops(card, tokens, context)
    learning = sum(learning_flops(recipe, card) for recipe in request.recipes) * total * request.share
    captured = sum(len(layers) * width(card, site) for site, layers in addresses(request).items())
    states = sum(state_bytes(recipe, card) for recipe in request.recipes)
    largest = max((_step_bytes(recipe, card) for recipe in request.recipes), default=0)
    result = 3 * states // 4 if request.checkpoint else states // 4
    return Cost(passes + learning, result, states + 8 * captured * total + largest, total)
