"""A request for completions as programs, and what it costs."""

from collections.abc import Sequence

from ...program.cards import ModelCard
from ...program.language import Program
from ...program.supports import check
from ..cost import Cost, pass_flops, read_tokens
from ..rows import programs as row_programs
from .request import GenerateRequest


def programs(request: GenerateRequest, card: ModelCard) -> tuple[Program, ...]:
    """No taps: only what is sampled."""
    return row_programs(request.texts, (), request.steer, request.sampling, request.first)


def validate(request: GenerateRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card can tell is wrong."""
    for program in programs(request, card) or (Program(()),):
        check(program, card)


def cost(request: GenerateRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """The passes alone."""
    read = [read_tokens(prompt, request.sampling) for prompt in tokens]
    flops = sum(pass_flops(card, count, request.sampling) for count in read)
    return Cost(flops, 8 * sum(read), 0, sum(read))
