"""A differential search as programs, and what it costs."""

from collections.abc import Sequence

from ...errors import RequestError
from ...program.cards import ModelCard
from ..cost import Cost
from ..features import plan as features
from ..features.request import FeaturesRequest
from .request import SearchRequest

#: With fewer texts on a side no difference can be told from chance.
LEAST = 5


def reading(request: SearchRequest) -> FeaturesRequest:
    """The same texts read for their latents."""
    return FeaturesRequest(request.texts, request.site, request.layer, request.dictionary)


def validate(request: SearchRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card and the counts can tell is wrong."""
    for side, count in (("positive", request.positive), ("negative", len(request.texts) - request.positive)):
        if count < LEAST:
            raise RequestError(f"{max(count, 0)} {side} texts: a search needs at least {LEAST} on each side")
    features.validate(reading(request), card)


def cost(request: SearchRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """The passes, the encoder, and a number for every text and latent."""
    found = features.cost(reading(request), card, tokens)
    latents = features.latents(reading(request), card)
    return Cost(found.flops, 48 * latents, found.held_bytes + 16 * latents * len(request.texts), found.tokens)
