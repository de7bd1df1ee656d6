"""Ways to move answers, from what a user calls one: a vector, edits, a prompt, or any of these at strengths of one's own."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from .building import Steering, texts
from .data.vectors import Direction, SteeringVector
from .methods.comparison.request import Point, Way
from .program.language import Edit, Plain, replace
from .program.numbers import finite
from .program.operations import Addition, Stored

Builder = Callable[[object], Steering]


def way(name: str, given: Any, scales: Sequence[float], steering: Builder) -> tuple[Way, dict[str, bytes]]:
    """A way, and the objects that it names. `steering` makes edits. Raises RequestError for what is no way."""
    if isinstance(given, Mapping):
        made = [_point(finite("the strength of a way", strength), one, steering) for strength, one in given.items()]
        return _made(name, tuple(point for point, _ in made), False, [found for _, found in made])
    one, found = _point(1.0, given, steering)
    if any(isinstance(edit.op, Addition) for edit in one.edits):
        points = tuple(Point(s, tuple(_scaled(edit, s) for edit in one.edits)) for s in scales if s)
        return _made(name, points, all(isinstance(edit.op, Addition) for edit in one.edits), [found])
    return _made(name, (one,), False, [found])


def _point(strength: float, given: Any, steering: Builder) -> tuple[Point, Steering]:
    if isinstance(given, str):
        (text,) = texts(given).texts if given else (Plain(""),)
        assert isinstance(text, Plain)
        return Point(strength, before=text.text), Steering((), {})
    made = steering(given)
    return Point(strength, made.edits), made


def _scaled(edit: Edit, strength: float) -> Edit:
    return replace(edit, op=replace(edit.op, scale=edit.op.scale * strength)) if isinstance(edit.op, Addition) else edit


def _made(
    name: str, points: tuple[Point, ...], gradual: bool, used: Sequence[Steering]
) -> tuple[Way, dict[str, bytes]]:
    cosine = max((value for steering in used for value in _cosines(steering)), default=None)
    read: frozenset[str] = frozenset().union(*(vector.read for steering in used for vector in _fitted(steering)))
    objects = {digest: data for steering in used for digest, data in steering.objects.items()}
    return Way(name, points, gradual, len(read), cosine), objects


def _fitted(steering: Steering) -> list[SteeringVector]:
    return [vector for vector in steering.vectors if isinstance(vector, SteeringVector)]


def _cosines(steering: Steering) -> Iterator[float]:
    """|cosine| of every two directions that are added at one place."""
    vectors = {vector.digest: vector for vector in _fitted(steering)}
    for place in _places(steering.edits, vectors):
        for one, other in combinations(place, 2):
            if one.shape == other.shape and one.any() and other.any():
                yield float(abs(one @ other) / (np.linalg.norm(one) * np.linalg.norm(other)))


def _places(edits: Iterable[Edit], vectors: Mapping[str, SteeringVector]) -> Iterable[list[Direction]]:
    found: dict[tuple[object, ...], list[Direction]] = {}
    for edit in edits:
        named = edit.op.vector if isinstance(edit.op, Addition) else None
        if isinstance(named, Stored) and named.digest in vectors:
            place = edit.site, edit.layer, edit.index
            found.setdefault(place, []).append(vectors[named.digest].directions[int(named.name)])
    return found.values()
