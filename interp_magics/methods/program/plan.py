"""A program written by hand, and what it costs."""

import math
from collections.abc import Sequence

from ...program.cards import ModelCard
from ...program.language import Latents, Lens, Program, Raw
from ...program.supports import check
from ..cost import Cost, layers_of, pass_flops, positions_count, read_tokens
from .request import ProgramRequest


def programs(request: ProgramRequest, card: ModelCard) -> tuple[Program, ...]:
    """The program itself."""
    return (request.program,)


def validate(request: ProgramRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card can tell is wrong."""
    check(request.program, card)


def cost(request: ProgramRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """Every stage is a pass over its rows, every gradient one more there and back; every tap holds its values and sends
    what its reduction leaves."""
    flops, held, result, total = 0.0, 0, 0, 0
    for stage in request.program.stages:
        for number in range(len(tokens)) if stage.rows is None else stage.rows:
            sampling = request.program.rows[number].sampling if stage is request.program.stages[-1] else None
            read = read_tokens(tokens[number], sampling)
            flops += pass_flops(card, read, sampling)
            total += read
            flops += 3.0 * len(stage.gradients) * pass_flops(card, read, None)
            differentiated = [tap for gradient in stage.gradients for tap in gradient.taps]
            for tap in (*stage.taps, *differentiated):
                if tap.rows is not None and number not in tap.rows:
                    continue
                rows = len(layers_of(card, tap.site, tap.layers)) * positions_count(tap.positions, tokens[number], read)
                held += 4 * rows * math.prod(card.sites[tap.site].shape)
                if isinstance(tap.reduce, Raw):
                    result += 4 * rows * math.prod(card.sites[tap.site].shape)
                elif isinstance(tap.reduce, Latents):
                    form = tap.reduce.dictionary
                    asked = form.latents if tap.reduce.latents is None else len(tap.reduce.latents)
                    flops += 2.0 * rows * form.width * form.latents
                    held += 8 * rows * form.latents
                    result += 4 * rows * asked
                elif isinstance(tap.reduce, Lens):
                    flops += 2.0 * rows * card.d_model * card.vocabulary
                    result += 8 * rows * (tap.reduce.top_k + 1 + len(tap.reduce.track))
    return Cost(flops, result, held, total)
