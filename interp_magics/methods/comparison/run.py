"""A request for a comparison on a worker."""

from collections.abc import Iterator, Sequence

import numpy as np

from ...data.comparison import Comparison, ComparisonMeta, WayMeta, encode
from ...data.files import Array
from ...engine.protocol import Engine, Outcome
from ...errors import RequestError
from ...program.language import Program, Text
from ...program.supports import over_context
from ...program.texts import after
from ..finish import numbers, provenance
from ..labels import Label, find_label
from . import plan
from .request import ComparisonRequest


def programs(request: ComparisonRequest, engine: Engine) -> tuple[Program, ...]:
    """Those of every item, then those of every neutral text."""
    return (*_item_programs(request, engine), *_neutral_programs(request, engine))


def _item_programs(request: ComparisonRequest, engine: Engine) -> Iterator[Program]:
    rows = plan.item_rows(request)
    for number, pair in enumerate(request.pairs, request.first // 2):
        labels = {before: _label(engine, pair, before, f"item {number}") for before in _starts(rows)}
        for some in rows:
            label = labels[some.before]
            yield plan.item_program(some, label.before, (label.positive, label.negative))


def _label(engine: Engine, pair: tuple[Text, Text], before: str, what: str) -> Label:
    favoured, other = (after(before, text) for text in pair)
    label = find_label(engine.tokens, favoured, other, what)
    _check_length(len(label.before), before, what, engine)
    return label


def _neutral_programs(request: ComparisonRequest, engine: Engine) -> Iterator[Program]:
    rows = plan.neutral_rows(request)
    for number, text in enumerate(request.neutral, max(0, request.first - 2 * _all_items(request))):
        what = f"neutral text {number}"
        begun = {before: engine.tokens.encode(after(before, text)).ids for before in _starts(rows)}
        for before, ids in begun.items():
            _check_length(len(ids), before, what, engine)
        shared = min(_shared_end(begun[""], ids) for ids in begun.values())
        if shared < 2:
            raise RequestError(
                f"{what} has no two tokens that stay the same after what a way puts before it; give a longer one"
            )
        for some in rows:
            yield plan.neutral_program(some, begun[""], begun[some.before], shared)


def _starts(rows: Sequence[plan.Rows]) -> set[str]:
    return {"", *(some.before for some in rows)}


def _all_items(request: ComparisonRequest) -> int:
    return sum(group.items for group in request.groups)


def _check_length(count: int, before: str, what: str, engine: Engine) -> None:
    if count > engine.card.context:
        after_ = f" after {before[:40]!r}" if before else ""
        raise RequestError(f"{what}{after_}: {over_context(count, engine.card)}")


def _shared_end(one: Sequence[int], other: Sequence[int]) -> int:
    """How many of their last tokens two texts share."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def result(request: ComparisonRequest, outcomes: Sequence[Outcome], engine: Engine) -> bytes:
    """Propensities of every item, and sums over the tokens of each neutral text, at every point."""
    each = len(plan.item_rows(request))
    items = [outcomes[each * i : each * (i + 1)] for i in range(request.items)]
    rest = outcomes[each * request.items :]
    each = len(plan.neutral_rows(request))
    neutral = [rest[each * i : each * (i + 1)] for i in range(len(request.neutral))]
    meta = ComparisonMeta(
        ways=tuple(
            WayMeta(way.name, tuple(point.strength for point in way.points), way.gradual, way.texts, way.cosine)
            for way in request.ways
        ),
        groups=tuple((group.name, group.items) for group in request.groups),
        provenance=provenance(request, engine),
    )
    return encode(Comparison(meta, **_answers(request, items), **_side_effects(request, neutral)))


def _points(request: ComparisonRequest) -> int:
    return sum(len(way.points) for way in request.ways)


def _answers(request: ComparisonRequest, items: Sequence[Sequence[Outcome]]) -> dict[str, Array]:
    values = np.empty((_points(request), len(items)), np.float32)
    plain, added = np.empty(len(items), np.float32), np.empty(values.shape, np.int32)
    rows = plan.item_rows(request)
    for item, outcomes in enumerate(items):
        alone = len(outcomes[0].rows[0].token_ids)
        for some, outcome in zip(rows, outcomes, strict=True):
            for place, row, read in zip(some.places, outcome.rows, outcome.readings[0][0].values, strict=True):
                favoured, other = numbers(read, "values")[0, 0]
                if place is None:
                    plain[item] = favoured - other
                else:
                    values[place, item], added[place, item] = favoured - other, len(row.token_ids) - alone
    return {"values": values, "plain": plain, "added": added}


def _side_effects(request: ComparisonRequest, texts: Sequence[Sequence[Outcome]]) -> dict[str, Array]:
    shape = (_points(request), len(texts))
    surprisal, divergence = np.zeros(shape), np.zeros(shape)
    plain, tokens = np.zeros(len(texts)), np.zeros(len(texts), np.int32)
    rows = plan.neutral_rows(request)
    for text, outcomes in enumerate(texts):
        for some, outcome in zip(rows, outcomes, strict=True):
            for place, read in zip(some.places, outcome.readings[0][0].values, strict=True):
                known = numbers(read, "surprisal")[0, :-1]
                if place is None:
                    plain[text], tokens[text] = known.sum(), len(known)
                else:
                    surprisal[place, text] = known.sum()
                    divergence[place, text] = numbers(read, "divergence")[0, :-1].sum()
    return {"surprisal": surprisal, "divergence": divergence, "plain_surprisal": plain, "tokens": tokens}
