"""How large a request may be, whatever the model: what it costs merely to look at one is bounded by these."""

from ..errors import RequestError
from .plans import texts
from .requests import Request
from .steerability.request import SteerabilityRequest

MOST_TEXTS = 10_000
#: Curves x layers x scales of an item.
MOST_POINTS = 4096


def check_bounds(request: Request) -> None:
    """Raise RequestError for a request that is too large, with how to make it smaller."""
    count = len(texts(request))
    if count > MOST_TEXTS:
        raise RequestError(
            f"{count:,} texts are more than one request takes ({MOST_TEXTS:,}); send several, or capture_corpus"
        )
    if isinstance(request, SteerabilityRequest):
        points = len(request.curves) * len(request.layers) * len(request.scales)
        if points > MOST_POINTS:
            raise RequestError(
                f"{len(request.curves)} curves of {len(request.layers)} layers and {len(request.scales)} scales are {points:,} "
                f"points, more than one request takes ({MOST_POINTS:,}); choose fewer layers or scales"
            )
