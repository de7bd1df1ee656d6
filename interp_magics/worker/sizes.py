"""Whether a request fits this worker: known once its texts are counted, before a pass is paid for."""

from ..engine.protocol import Engine
from ..errors import RequestError
from ..launch.config import WorkLimits
from ..methods import plans
from ..methods.requests import Request
from ..program.language import Text
from ..program.supports import over_context


def check_size(request: Request, engine: Engine, limits: WorkLimits) -> None:
    """Raise RequestError for what would not fit the result or this worker's memory."""
    tokens = [_count(text, i, request, engine) for i, text in enumerate(plans.texts(request))]
    cost = plans.cost(request, engine.card, tokens)
    plans.check_size(cost, limits.result_bytes)
    if cost.kept_bytes > limits.kept_bytes:
        raise RequestError(
            f"{cost.kept_bytes / 1e9:.1f} GB would be kept, the worker allows {limits.kept_bytes / 1e9:.1f} GB "
            "to a user; keep fewer texts, layers or sites, or leave keep= out"
        )
    if cost.held_bytes > limits.held_bytes:
        raise RequestError(
            f"{cost.held_bytes / 1e9:.1f} GB would be held at once, the worker allows {limits.held_bytes / 1e9:.1f} GB; send "
            "fewer texts, layers, positions or dictionaries at a time"
        )


def _count(text: Text, number: int, request: Request, engine: Engine) -> int:
    """Tokens of a text; a fault says which of several it is."""
    first = getattr(request, "first", 0)
    several = len(plans.texts(request)) > 1 or first
    try:
        count = len(engine.tokens.encode(text).ids)
        if count > engine.card.context and not plans.cuts(request):
            raise RequestError(over_context(count, engine.card))
    except RequestError as error:
        raise RequestError(f"text {first + number} of the list: {error}") if several else error from None
    return count
