"""A comparison as programs: the rows of a text differ in what is put before it and in what is edited."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import RequestError
from ...program.cards import ModelCard
from ...program.language import At, Edit, Generated, Ids, Last, Plain, Program, Row, Stage, Surprisal, Tap, replace
from ...program.supports import check
from ...program.texts import guessed_tokens
from ..cost import Cost, pass_flops
from .request import ComparisonRequest, Point

#: Rows of one program that reads answers, and of one that is decoded at every position.
ITEM_ROWS, NEUTRAL_ROWS = 64, 16


@dataclass(frozen=True)
class Rows:
    """Points (by place, None for a plain row) whose texts all begin with `before`: they share a program."""

    before: str
    places: tuple[int | None, ...]


def item_rows(request: ComparisonRequest) -> list[Rows]:
    """How the points of an item are shared out; the first row of all is plain."""
    made = []
    for before, places in _alike(request).items():
        asked: list[int | None] = [None, *places] if not before else [*places]
        made += [Rows(before, tuple(asked[i : i + ITEM_ROWS])) for i in range(0, len(asked), ITEM_ROWS)]
    return made


def neutral_rows(request: ComparisonRequest) -> list[Rows]:
    """How the points of a neutral text are shared out; the first row of each program is plain."""
    made = []
    for before, places in _alike(request).items():
        some = range(0, len(places), NEUTRAL_ROWS - 1)
        made += [Rows(before, (None, *places[i : i + NEUTRAL_ROWS - 1])) for i in some]
    return made


def _alike(request: ComparisonRequest) -> dict[str, list[int]]:
    alike: dict[str, list[int]] = {"": []}
    for place, point in enumerate(request.points):
        alike.setdefault(point.before, []).append(place)
    return alike


def item_program(request: ComparisonRequest, rows: Rows, before: tuple[int, ...], answers: tuple[int, int]) -> Program:
    """Rows of an item, which is `before` and would go on with one of the `answers`."""
    tap = Tap("logits", positions=Last(), index=answers)
    return Program((Row(Ids(before)),) * len(rows.places), (Stage((tap,), _edits(request, rows)),))


def neutral_program(
    request: ComparisonRequest, rows: Rows, plain: tuple[int, ...], begun: tuple[int, ...], shared: int
) -> Program:
    """Rows of a neutral text: its own ids, then those after what is put before it; they are read at the last `shared`."""
    tap = Tap("ln_final", positions=At(tuple(range(-shared, 0))), reduce=Surprisal(against=0))
    texts = (Row(Ids(plain)), *(Row(Ids(begun)) for _ in rows.places[1:]))
    return Program(texts, (Stage((tap,), _edits(request, rows)),))


def _edits(request: ComparisonRequest, rows: Rows) -> tuple[Edit, ...]:
    points = request.points
    placed = ((row, points[place]) for row, place in enumerate(rows.places) if place is not None)
    return tuple(replace(edit, rows=(row,)) for row, point in placed for edit in point.edits)


def validate(request: ComparisonRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card and the counts can tell is wrong."""
    if not request.groups or any(group.items < 1 for group in request.groups):
        raise RequestError("a comparison needs items: one group of them at least, and no empty one")
    if len(request.texts) <= 2 * request.items:
        raise RequestError("a comparison needs neutral texts, one at least, to see what else each way does")
    for what, names in (("ways", request.ways), ("groups", request.groups)):
        if not names or len({one.name for one in names}) < len(names):
            raise RequestError(f"the {what} of a comparison have different names, and there is one at least")
    for way in request.ways:
        strengths = [point.strength for point in way.points]
        if not strengths or 0 in strengths or len(set(strengths)) < len(strengths):
            raise RequestError(f"{way.name!r} needs strengths that differ from each other and from 0")
        for point in way.points:
            _check_point(way.name, point)
    for rows in item_rows(request):
        check(item_program(request, rows, (0,), (0, min(1, card.vocabulary - 1))), card)
    for rows in neutral_rows(request):
        check(neutral_program(request, rows, (0, 0), (0, 0), 2), card)


def _check_point(name: str, point: Point) -> None:
    if not point.edits and not point.before:
        raise RequestError(f"{name!r} changes nothing at strength {point.strength:g}")
    for edit in point.edits:
        if edit.rows is not None:
            raise RequestError(f"{name!r}: an edit of a comparison says no rows; it is for every text")
        if isinstance(edit.positions, Generated):
            raise RequestError(f"{name!r}: positions 'generated' are never written here, nothing is generated")


def cost(request: ComparisonRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """A pass for every point of every item; for every point of a neutral text that and the products with the head."""
    items, neutral = tokens[: 2 * request.items : 2], tokens[2 * request.items :]
    points = request.points
    added = [guessed_tokens(Plain(point.before)) if point.before else 0 for point in points]
    passes = [pass_flops(card, count + more, None) for count in (*items, *neutral) for more in (0, *added)]
    decoded = 4.0 * card.vocabulary * card.d_model * sum(neutral) * (len(points) + 1)
    longest = max(tokens, default=0) + max(added, default=0)
    cached = 2 * card.layers * card.kv_heads * card.d_head * (4 if card.dtype == "float32" else 2)
    held = min(len(points) + 1, ITEM_ROWS) * longest * cached
    result = len(points) * (4 * len(items) + 16 * len(neutral))
    return Cost(sum(passes) + decoded, result, held, (len(points) + 1) * sum(tokens))
