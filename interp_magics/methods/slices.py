"""One large request as several small ones, which groups of workers run side by side and shorter jobs run between."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..program.cards import ModelCard
from ..program.language import replace
from ..program.operations import Copy
from ..program.texts import guessed_tokens
from . import plans
from .capture.request import CaptureRequest
from .comparison.request import ComparisonRequest
from .evaluate.request import EvaluateRequest
from .generate.request import GenerateRequest
from .lens.request import LensRequest
from .requests import Request
from .side_effects.request import SideEffectsRequest
from .steerability.request import SteerabilityRequest

#: A job has no more slices than this.
MOST = 512

Sliced = (
    LensRequest
    | CaptureRequest
    | GenerateRequest
    | SteerabilityRequest
    | SideEffectsRequest
    | ComparisonRequest
    | EvaluateRequest
)


def split(request: Request, card: ModelCard, most: float, result_bytes: int) -> tuple[Request, ...]:
    """The request in slices of its texts, each predicted to take at most `most` seconds; itself when it is short or cannot
    be sliced, or when its result may be over `result_bytes`: a worker counts the tokens, and refuses all of it or nothing.

    A slice repeats all that the request says, and that its first text is number `first` of the call.
    """
    if not isinstance(request, Sliced) or len(request.texts) < 2 or request.first or plans.keep(request):
        return (request,)
    if any(isinstance(edit.op, Copy) for edit in getattr(request, "steer", ())):
        return (request,)
    units, costs = _units(request), []
    for start, stop in pairwise(units):
        one = _slice(request, start, stop)
        costs.append(plans.cost(one, card, [guessed_tokens(text) for text in plans.texts(one)]))
    seconds = [cost.seconds(card) for cost in costs]
    bounds = list(_bounds(seconds, max(most, 2 * sum(seconds) / MOST)))
    if len(bounds) == 1 or sum(cost.result_bytes for cost in costs) > result_bytes:
        return (request,)
    return tuple(_slice(request, units[start], units[stop]) for start, stop in bounds)


def _units(request: Sliced) -> list[int]:
    """Where the texts of a request may be parted, both ends included: never between the two of a pair."""
    paired = len(request.texts) if isinstance(request, SteerabilityRequest) else 0
    paired = 2 * request.items if isinstance(request, ComparisonRequest) else paired
    return [*range(0, paired, 2), *range(paired, len(request.texts) + 1)]


def _slice(request: Sliced, start: int, stop: int) -> Request:
    made: Request = replace(request, texts=request.texts[start:stop], first=start)
    if isinstance(made, ComparisonRequest):
        paired = 2 * made.items
        made = replace(made, items=(min(stop, paired) - min(start, paired)) // 2)
    return made


def _bounds(seconds: Sequence[float], most: float) -> Iterator[tuple[int, int]]:
    """Consecutive (start, stop), each as long as it may be without taking longer than `most`, but never empty: any two
    neighbours together take longer."""
    start, taken = 0, 0.0
    for place, one in enumerate(seconds):
        if place > start and taken + one > most:
            yield start, place
            start, taken = place, 0.0
        taken += one
    yield start, len(seconds)
