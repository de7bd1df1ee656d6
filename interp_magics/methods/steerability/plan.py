"""A request for propensity curves as programs: the rows of an item differ in what is added where, and share its prompt."""

from collections.abc import Iterator, Sequence

from ...errors import RequestError
from ...program.cards import ModelCard
from ...program.language import Edit, Generated, Ids, Last, Program, Row, Stage, Tap
from ...program.operations import Add, Stored
from ...program.supports import check
from ..cost import Cost, pass_flops
from ..vector.plan import heads
from .request import SteerabilityRequest

#: Rows of one program; an item that needs more has several, which share a batch all the same.
ROWS = 64


def validate(request: SteerabilityRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card and the counts can tell is wrong."""
    if not request.texts or len(request.texts) % 2:
        raise RequestError("steerability is measured on pairs of texts, one at least")
    if len(set(request.scales)) < 2:
        raise RequestError("a slope needs two scales at least, such as -1 and 1")
    if not request.layers:
        raise RequestError("no layer was chosen; leave layers out for all that the vector has")
    if isinstance(request.positions, Generated):
        raise RequestError(
            "positions 'generated' are never written here: an item is its prompt, and nothing is generated"
        )
    for curve in request.curves:
        if len(curve.vectors) != len(request.layers):
            raise RequestError(
                f"curve {curve.name!r} has {len(curve.vectors)} vectors for {len(request.layers)} layers"
            )
    for program in programs_of(request, (0,), (0, min(1, card.vocabulary - 1))):
        check(program, card)


def points(request: SteerabilityRequest) -> list[tuple[int, int, int] | None]:
    """What is added in each row of an item: (curve, layer, scale) by place, and first of all nothing."""
    moved = [place for place, scale in enumerate(request.scales) if scale != 0]
    places = range(len(request.layers))
    return [None, *((c, x, s) for c in range(len(request.curves)) for x in places for s in moved)]


def programs_of(request: SteerabilityRequest, before: tuple[int, ...], answers: tuple[int, int]) -> Iterator[Program]:
    """The programs of one item, which is `before` and would go on with one of the `answers`."""
    asked = points(request)
    tap = Tap("logits", positions=Last(), index=answers)
    for begin in range(0, len(asked), ROWS):
        some = asked[begin : begin + ROWS]
        edits = tuple(_edit(request, point, row) for row, point in enumerate(some) if point is not None)
        yield Program((Row(Ids(before)),) * len(some), (Stage((tap,), edits),))


def _edit(request: SteerabilityRequest, point: tuple[int, int, int], row: int) -> Edit:
    curve, layer, scale = point
    vector: Stored = request.curves[curve].vectors[layer]
    added = Add(vector, request.scales[scale], request.unit)
    return Edit(request.site, request.layers[layer], added, request.positions, (row,), heads(request.head))


def cost(request: SteerabilityRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """The prompt once, and at every point again what comes from the first position that is written: with `last`, a token."""
    rows = len(points(request))
    items = tokens[::2]
    again = 1 if isinstance(request.positions, Last) else None
    flops = sum(pass_flops(card, n, None) + rows * pass_flops(card, again or n, None) for n in items)
    cells = len(request.curves) * len(request.layers) * len(request.scales)
    cached = 2 * card.layers * card.kv_heads * card.d_head * (4 if card.dtype == "float32" else 2)
    held = min(rows, 4 * ROWS) * max(items, default=0) * cached
    return Cost(flops, 4 * len(items) * (cells + 2), held, sum(items) * (1 if again else rows))
