"""A request to read features as programs, and what it costs."""

import math
from collections.abc import Sequence

from ...errors import RequestError
from ...program.cards import ModelCard
from ...program.language import Ids, Program, Raw, Row, Stage, Tap, Text
from ...program.latents import BINS, DIRECTIONS, PLACES
from ...program.supports import check, check_context, check_ids
from ..cost import Cost, pieces_flops
from .request import FeaturesRequest

#: Latents of so many tokens at most are held at once; a piece of a text is no longer.
CONTEXT = 1024
_STREAM = ("embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
_UNREAD = ("logits", "attn_pattern")


def program(request: FeaturesRequest, text: Text) -> Program:
    """A pass over one text."""
    return Program((Row(text),), (Stage((Tap(request.site, (request.layer,), reduce=Raw()),)),))


def context(request: FeaturesRequest, card: ModelCard) -> int:
    """The longest piece."""
    return min(request.context or CONTEXT, CONTEXT, card.context)


def latents(request: FeaturesRequest, card: ModelCard) -> int:
    """How many there are."""
    return math.prod(card.sites[request.site].shape) if request.dictionary is None else request.dictionary.latents


def speaks(request: FeaturesRequest) -> bool:
    """Whether what the latents write is added to the stream, or is a state of it."""
    return (request.site_out or request.site) in _STREAM


def validate(request: FeaturesRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card can tell is wrong."""
    if not request.texts:
        raise RequestError("features are read on texts, one at least")
    check_context(request.context)
    if request.site in _UNREAD:
        raise RequestError(f"latents are read at sites of a fixed width, which {request.site!r} does not have")
    check(program(request, Ids((0,))), card)
    check_ids(request.texts, card)
    if not 0 <= request.first < 1 << 24:
        raise RequestError(f"a corpus has 16,777,216 texts at most, so none is number {request.first}")
    width = math.prod(card.sites[request.site].shape)
    if request.dictionary is not None and request.dictionary.width != width:
        raise RequestError(
            f"the dictionary has width {request.dictionary.width}, but {request.site!r} of {card.name} has {width}"
        )


def cost(request: FeaturesRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """The passes and the dictionary's encoder; the result is the tables."""
    longest = context(request, card)
    passes = pieces_flops(card, tokens, longest)
    width, m, total = math.prod(card.sites[request.site].shape), latents(request, card), sum(tokens)
    encode = 0.0 if request.dictionary is None else 2.0 * m * width * total
    examples = request.kept.top + 6 * request.kept.samples + request.kept.tokens
    table = m * (4 * (BINS + DIRECTIONS + PLACES) + 32 * examples + 32)
    if request.dictionary is not None and request.first == 0:
        encode += 2.0 * m * card.d_model * card.vocabulary / 1.5
    return Cost(passes + 1.5 * encode, table + 8 * total, 8 * width * total + 16 * m * CONTEXT + 3 * table, total)
