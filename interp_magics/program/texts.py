"""What can be said of a text without its model's tokenizer."""

from .language import Chat, Ids, Plain, Text

_CHARACTERS_PER_TOKEN = 2


def guessed_tokens(text: Text) -> int:
    """About how many tokens a text has, rather too many than too few."""
    if isinstance(text, Ids):
        return len(text.ids)
    if isinstance(text, Plain):
        return len(text.text) // _CHARACTERS_PER_TOKEN + 1
    assert isinstance(text, Chat)
    return sum(len(m.content) // _CHARACTERS_PER_TOKEN + 8 for m in text.messages)
