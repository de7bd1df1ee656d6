"""A text of a corpus as rows that fit a context: long ones are cut, and every piece begins as the text does."""

from ..engine.tokens import Tokens
from ..program.language import Chat, Ids, Text


def pieces(tokens: Tokens, text: Text, context: int) -> list[Text]:
    """The text itself, when it has at most `context` tokens, else its tokens in pieces of so many; where it begins with a
    special token, each of them does."""
    ids = tokens.encode(text).ids
    if len(ids) <= context:
        return [text]
    head = tuple(ids[:1]) if not isinstance(text, Chat) and ids[0] in tokens.special.values() else ()
    body, step = ids[len(head) :], context - len(head)
    return [Ids((*head, *body[start : start + step])) for start in range(0, len(body), step)]
