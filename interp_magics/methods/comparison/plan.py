"""A comparison as programs: the rows of a text differ in what is put before it and in what is edited."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import RequestError
from ...program.cards import ModelCard
from ...program.language import (
    After,
    All,
    At,
    Edit,
    First,
    Ids,
    Last,
    Plain,
    Program,
    Prompt,
    Row,
    Stage,
    Surprisal,
    Tap,
    replace,
)
from ...program.operations import Copy
from ...program.supports import check
from ...program.texts import guessed_tokens
from ..cost import Cost, passes_flops
from .request import ComparisonRequest, Point

#: Rows of one program that reads answers, and of one that is decoded at every position.
ITEM_ROWS, NEUTRAL_ROWS = 64, 16
#: Points of all ways together.
MOST_POINTS = 1024


@dataclass(frozen=True)
class Rows:
    """Points (with their places, None for a plain row) whose texts all begin with `before`: they share a program."""

    before: str
    places: tuple[int | None, ...]
    points: tuple[Point | None, ...]

    def edits(self) -> tuple[Edit, ...]:
        """Those of all rows."""
        placed = ((row, point) for row, point in enumerate(self.points) if point is not None)
        return tuple(replace(edit, rows=(row,)) for row, point in placed for edit in point.edits)


_Entry = tuple[int | None, Point | None]
_PLAIN: _Entry = (None, None)


def item_rows(request: ComparisonRequest) -> list[Rows]:
    """How the points of an item are shared out; the first row of all is plain."""
    made = []
    for before, points in _alike(request).items():
        asked = [*points] if before else [_PLAIN, *points]
        made += [_rows(before, asked[i : i + ITEM_ROWS]) for i in range(0, len(asked), ITEM_ROWS)]
    return made


def neutral_rows(request: ComparisonRequest) -> list[Rows]:
    """How the points of a neutral text are shared out; the first row of each program is plain."""
    made = []
    for before, points in _alike(request).items():
        some = range(0, len(points), NEUTRAL_ROWS - 1)
        made += [_rows(before, [_PLAIN, *points[i : i + NEUTRAL_ROWS - 1]]) for i in some]
    return made


def _alike(request: ComparisonRequest) -> dict[str, list[_Entry]]:
    alike: dict[str, list[_Entry]] = {"": []}
    for place, point in enumerate(point for way in request.ways for point in way.points):
        alike.setdefault(point.before, []).append((place, point))
    return alike


def _rows(before: str, entries: Sequence[_Entry]) -> Rows:
    return Rows(before, tuple(place for place, _ in entries), tuple(point for _, point in entries))


def item_program(rows: Rows, before: tuple[int, ...], answers: tuple[int, int]) -> Program:
    """Rows of an item, which is `before` and would go on with one of the `answers`."""
    tap = Tap("logits", positions=Last(), index=answers)
    return Program((Row(Ids(before)),) * len(rows.places), (Stage((tap,), rows.edits()),))


def neutral_program(rows: Rows, plain: tuple[int, ...], begun: tuple[int, ...], shared: int) -> Program:
    """Rows of a neutral text: its own ids, then those after what is put before it; they are read at the last `shared`."""
    tap = Tap("ln_final", positions=At(tuple(range(-shared, 0))), reduce=Surprisal(against=0))
    texts = (Row(Ids(plain)), *(Row(Ids(begun)) for _ in rows.places[1:]))
    return Program(texts, (Stage((tap,), rows.edits()),))


def validate(request: ComparisonRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card and the counts can tell is wrong."""
    if not request.groups or any(group.items < 1 for group in request.groups):
        raise RequestError("a comparison needs items: one group of them at least, and no empty one")
    if not 0 <= request.items <= sum(group.items for group in request.groups) or len(request.texts) < 2 * request.items:
        raise RequestError("the items of a comparison are pairs of texts, as many as its groups say")
    for what, names in (("ways", request.ways), ("groups", request.groups)):
        if not names or len({one.name for one in names}) < len(names):
            raise RequestError(f"the {what} of a comparison have different names, and there is one at least")
    count = sum(len(way.points) for way in request.ways)
    if count > MOST_POINTS:
        raise RequestError(
            f"{count} points of all ways together are more than {MOST_POINTS}; take fewer strengths or ways"
        )
    for way in request.ways:
        strengths = [point.strength for point in way.points]
        if not strengths or 0 in strengths or len(set(strengths)) < len(strengths):
            raise RequestError(f"{way.name!r} needs strengths that differ from each other and from 0")
        for point in way.points:
            _check_point(way.name, point)
    if any(point.before for way in request.ways for point in way.points):
        for number, text in enumerate(request.texts, request.first):
            if isinstance(text, Ids):
                raise RequestError(
                    f"text {number} is given as token ids, and a prompt is put before texts and chats only"
                )
    for rows in item_rows(request):
        check(item_program(rows, (0,), (0, min(1, card.vocabulary - 1))), card)
    for rows in neutral_rows(request):
        check(neutral_program(rows, (0, 0), (0, 0), 2), card)


def _check_point(name: str, point: Point) -> None:
    if not point.edits and not point.before:
        raise RequestError(f"{name!r} changes nothing at strength {point.strength:g}")
    for edit in point.edits:
        if edit.rows is not None:
            raise RequestError(f"{name!r}: an edit of a comparison says no rows; it is for every text")
        if isinstance(edit.op, Copy):
            raise RequestError(f"{name!r}: an edit of a comparison copies no other row")
        if not isinstance(edit.positions, All | Prompt | First | After):
            raise RequestError(
                f"{name!r}: positions are 'all', 'prompt', 'first' or after a token, so that an edit does to neutral texts "
                "what it does to items; at the last one alone, or at places, it would seem to cost nothing"
            )


def cost(request: ComparisonRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """A pass for every point of every item; for every point of a neutral text that and the products with the head."""
    items, neutral = tokens[: 2 * request.items : 2], tokens[2 * request.items :]
    points = [point for way in request.ways for point in way.points]
    added = [0, *(guessed_tokens(Plain(point.before)) if point.before else 0 for point in points)]
    counts = (*items, *neutral)
    read = len(added) * sum(counts) + len(counts) * sum(added)
    decoded = 4.0 * card.vocabulary * card.d_model * sum(neutral) * len(added)
    cached = 2 * card.layers * card.kv_heads * card.d_head * (4 if card.dtype == "float32" else 2)
    held = min(len(added), ITEM_ROWS) * (max(counts, default=0) + max(added)) * cached
    result = 4 * len(items) + 12 * len(neutral) + len(points) * (8 * len(items) + 16 * len(neutral))
    return Cost(passes_flops(card, counts, added) + decoded, result, held, read)
