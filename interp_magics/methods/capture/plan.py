"""A capture request as programs, and what it costs."""

import math
from collections.abc import Sequence

from ...errors import RequestError
from ...program.cards import ModelCard
from ...program.language import Moments, Program, Raw, Tap
from ...program.supports import check, check_site
from ..cost import Cost, layers_of, pass_flops, positions_count, read_tokens
from ..keeping import check_kept, keep_taps, kept_bytes
from ..rows import programs as row_programs
from .request import CaptureRequest

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def programs(request: CaptureRequest, card: ModelCard) -> tuple[Program, ...]:
    """One tap per site, then those that keep."""
    reduce = Moments() if request.reduce == "moments" else Raw(request.dtype)
    taps = [
        Tap(site, layers_of(card, site, request.layers), request.positions, reduce=reduce) for site in request.sites
    ]
    if request.keep:
        taps += keep_taps(request.sites, request.layers, request.positions, card)
    return row_programs(request.texts, taps, request.steer, request.sampling, request.first)


def validate(request: CaptureRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card can tell is wrong."""
    if not request.sites:
        raise RequestError("a capture needs at least one site")
    if len(set(request.sites)) < len(request.sites):
        raise RequestError("a site is named twice")
    for site in request.sites:
        check_site(site, card)
    check_kept(request.kept, request.texts)
    for program in programs(request, card) or (Program(()),):
        check(program, card)


def cost(request: CaptureRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """The passes; the result is what is captured."""
    flops, held, result, total, kept = 0.0, 0, 0, 0, 0
    keeping = keep_taps(request.sites, request.layers, request.positions, card) if request.keep else ()
    item = _BYTES[request.dtype or (card.dtype if card.dtype in _BYTES else "float32")]
    for prompt in tokens:
        read = read_tokens(prompt, request.sampling)
        count = positions_count(request.positions, prompt, read)
        for site in request.sites:
            width = math.prod(card.sites[site].shape) * (read if site == "attn_pattern" else 1)
            values = len(layers_of(card, site, request.layers)) * width
            held += 4 * values * count
            result += 12 * values if request.reduce else item * values * count
        flops += pass_flops(card, read, request.sampling)
        total += read
        kept += kept_bytes(keeping, prompt, read, card)
    return Cost(flops, result, held, total, kept)
