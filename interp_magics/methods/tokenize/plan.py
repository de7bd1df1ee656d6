"""A request for tokens: no program."""

from collections.abc import Sequence

from ...program.cards import ModelCard
from ...program.language import Program
from ..cost import Cost
from .request import TokenizeRequest


def programs(request: TokenizeRequest, card: ModelCard) -> tuple[Program, ...]:
    """None: nothing is run."""
    return ()


def validate(request: TokenizeRequest, card: ModelCard) -> None:
    """Anything may be tokenised."""


def cost(request: TokenizeRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """Nothing but the ids."""
    return Cost(0.0, 4 * sum(tokens), 0, sum(tokens))
