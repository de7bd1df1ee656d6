"""Ways to move answers, from what a user calls one: a vector, edits, a prompt, or any of these at strengths of one's own."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from .building import Steering
from .data.vectors import SteeringVector
from .errors import RequestError
from .methods.comparison.request import Point, Way
from .program.language import Edit, replace
from .program.operations import Addition

Builder = Callable[[object], Steering]


def way(name: str, given: Any, scales: Sequence[float], steering: Builder) -> tuple[Way, dict[str, bytes]]:
    """A way, and the objects that it names. `steering` makes edits. Raises RequestError for what is no way."""
    if isinstance(given, Mapping):
        made = [_point(strength, one, steering) for strength, one in given.items()]
        named = [vector for _, found in made for vector in found]
        return _made(name, tuple(point for point, _ in made), False, named)
    one, vectors = _point(1.0, given, steering)
    if any(isinstance(edit.op, Addition) for edit in one.edits):
        points = tuple(Point(s, tuple(_scaled(edit, s) for edit in one.edits)) for s in scales if s)
        return _made(name, points, all(isinstance(edit.op, Addition) for edit in one.edits), vectors)
    return _made(name, (one,), False, vectors)


def _point(strength: Any, given: Any, steering: Builder) -> tuple[Point, tuple[SteeringVector, ...]]:
    if isinstance(strength, bool) or not isinstance(strength, int | float):
        raise RequestError(f"a way has things by strength, which is a number, not {strength!r}")
    if isinstance(given, str):
        return Point(float(strength), before=given), ()
    made = steering(given)
    return Point(float(strength), made.edits), made.vectors


def _scaled(edit: Edit, strength: float) -> Edit:
    return replace(edit, op=replace(edit.op, scale=edit.op.scale * strength)) if isinstance(edit.op, Addition) else edit


def _made(
    name: str, points: tuple[Point, ...], gradual: bool, vectors: Sequence[SteeringVector]
) -> tuple[Way, dict[str, bytes]]:
    different = {vector.digest: vector for vector in vectors}
    meeting = [
        abs(value) for one, other in combinations(different.values(), 2) for value in _cosines(one, other).values()
    ]
    texts = sum(_texts(vector) for vector in different.values())
    objects = {digest: vector.data for digest, vector in different.items()}
    return Way(name, points, gradual, texts, max(meeting, default=None)), objects


def _cosines(one: SteeringVector, other: SteeringVector) -> dict[int, float]:
    shared = (
        sorted(set(one.directions) & set(other.directions)) if (one.site, one.head) == (other.site, other.head) else []
    )
    return one.at(*shared).cosine(other.at(*shared)) if shared else {}


def _texts(vector: SteeringVector) -> int:
    """How many texts a vector was fitted to, if it was fitted here."""
    request = vector.made_from.get("provenance", {}).get("request", {})
    return len(request.get("texts", ()))
