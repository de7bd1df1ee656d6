"""A request for side effects as programs: a plain row, and beside it some that are steered."""

from collections.abc import Iterator, Sequence

from ...errors import RequestError
from ...program.cards import ModelCard
from ...program.language import Edit, Program, Row, Stage, Surprisal, Tap, Text
from ...program.operations import Add
from ...program.supports import check
from ..cost import Cost, pass_flops
from ..vector.plan import heads
from .request import SideEffectsRequest

#: Rows of one program, the plain one included: each of them is decoded at every position.
ROWS = 16


def points(request: SideEffectsRequest) -> list[tuple[int, int]]:
    """(layer, scale) by place."""
    return [(x, s) for x in range(len(request.layers)) for s in range(len(request.scales))]


def validate(request: SideEffectsRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card and the counts can tell is wrong."""
    if not request.texts:
        raise RequestError("side effects are measured on texts, one at least")
    if not request.layers or not request.scales:
        raise RequestError("side effects need one layer and one scale at least")
    if len(request.vectors) != len(request.layers):
        raise RequestError(f"{len(request.vectors)} vectors for {len(request.layers)} layers")
    for program in programs_of(request, request.texts[0]):
        check(program, card)


def programs_of(request: SideEffectsRequest, text: Text) -> Iterator[Program]:
    """The programs of one text; row 0 of each is plain."""
    asked = points(request)
    tap = Tap("ln_final", reduce=Surprisal(against=0))
    for begin in range(0, len(asked), ROWS - 1):
        some = asked[begin : begin + ROWS - 1]
        edits = tuple(_edit(request, point, row) for row, point in enumerate(some, 1))
        yield Program((Row(text),) * (len(some) + 1), (Stage((tap,), edits),))


def _edit(request: SideEffectsRequest, point: tuple[int, int], row: int) -> Edit:
    layer, scale = point
    added = Add(request.vectors[layer], request.scales[scale], request.unit)
    return Edit(request.site, request.layers[layer], added, request.positions, (row,), heads(request.head))


def cost(request: SideEffectsRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """A pass and the products with the head for every point of every text."""
    asked = len(points(request))
    rows = asked + -(-asked // (ROWS - 1))
    head = 2.0 * card.vocabulary * card.d_model
    flops = sum(rows * (pass_flops(card, count, None) + 2 * head * count) for count in tokens)
    held = 4 * ROWS * card.d_model * max(tokens, default=0)
    return Cost(flops, 16 * asked * len(tokens), held, rows * sum(tokens))
