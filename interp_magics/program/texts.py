"""What can be said of a text, and done with it, without its model's tokenizer."""

from ..errors import RequestError
from .language import Chat, Ids, Message, Plain, Text

_CHARACTERS_PER_TOKEN = 2


def guessed_tokens(text: Text) -> int:
    """About how many tokens a text has, rather too many than too few."""
    if isinstance(text, Ids):
        return len(text.ids)
    if isinstance(text, Plain):
        return len(text.text) // _CHARACTERS_PER_TOKEN + 1
    assert isinstance(text, Chat)
    return sum(len(m.content) // _CHARACTERS_PER_TOKEN + 8 for m in text.messages)


def after(before: str, text: Text) -> Text:
    """A text with something put in front of it as it is; in front of a chat, as a system message or the beginning of the one
    that it has. Raises RequestError for token ids, whose text is not known."""
    if not before:
        return text
    if isinstance(text, Plain):
        return Plain(before + text.text)
    if isinstance(text, Ids):
        raise RequestError("a prompt is put before texts and chats, not before token ids")
    first, *rest = text.messages
    if first.role != "system":
        return Chat((Message("system", before), *text.messages))
    return Chat((Message("system", f"{before}\n\n{first.content}"), *rest))
