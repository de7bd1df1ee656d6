"""A request for tokens on a worker."""

from collections.abc import Sequence

from ...data import tokenized
from ...data.tokenized import Tokenized
from ...engine.protocol import Engine, Outcome
from ...program.language import Program
from ..finish import int32
from .request import TokenizeRequest


def programs(request: TokenizeRequest, engine: Engine) -> tuple[Program, ...]:
    """None: nothing is run."""
    return ()


def result(request: TokenizeRequest, outcomes: Sequence[Outcome], engine: Engine) -> bytes:
    """Ids and token texts."""
    encoded = [engine.tokens.encode(text).ids for text in request.texts]
    return tokenized.encode([Tokenized(int32(ids), tuple(engine.tokens.show(i) for i in ids)) for ids in encoded])
