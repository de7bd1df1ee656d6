"""Where the members of a pair of texts part, by their tokens."""

from dataclasses import dataclass

from ..engine.tokens import Tokens
from ..errors import RequestError
from ..program.language import Text


@dataclass(frozen=True)
class Label:
    """The first position at which two texts differ, the tokens before it, and what each has there."""

    before: tuple[int, ...]
    positive: int
    negative: int

    @property
    def position(self) -> int:
        return len(self.before)


def find_label(tokens: Tokens, positive: Text, negative: Text, what: str) -> Label:
    """Compare two texts token by token, so that it does not matter how a tokenizer treats the space before an answer.
    Raises RequestError, naming `what`, when no token tells them apart or nothing comes before it."""
    one, other = tokens.encode(positive).ids, tokens.encode(negative).ids
    place = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if place is None:
        how = "are the same" if one == other else "begin alike, and one ends where the other goes on"
        raise RequestError(f"the members of {what} {how}: no token tells them apart")
    if place == 0:
        raise RequestError(f"the members of {what} differ in their first token: there is no question before it")
    return Label(one[:place], one[place], other[place])
