"""Texts to token ids and back, with nothing invisible."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import RequestError
from ..program.language import Chat, Ids, Text

_SENTENCEPIECE_BYTE = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")


def _byte_level_alphabet() -> dict[str, int]:
    """Character to byte of byte-level BPE (Radford et al. 2019): printable bytes stand for themselves, the rest follow 255."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in shown]
    return {chr(b): b for b in shown} | {chr(256 + i): b for i, b in enumerate(hidden)}


_BYTES = _byte_level_alphabet()


@dataclass(frozen=True)
class Encoded:
    """Token ids of a text; `offsets` are their character spans in `text`, None when only ids were given."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...] | None
    text: str


class Tokens:
    """A Hugging Face tokenizer, as this project uses one."""

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._shown: dict[int, str] = {}

    @property
    def has_template(self) -> bool:
        return bool(getattr(self._tokenizer, "chat_template", None))

    @property
    def special(self) -> dict[str, int]:
        """Special tokens by their text."""
        tokenizer = self._tokenizer
        return dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))

    def ordinary(self, ids: Sequence[int]) -> list[int]:
        """The positions of ids that are no special tokens."""
        special = set(self.special.values())
        return [position for position, token in enumerate(ids) if token not in special]

    def again(self, text: str) -> list[int]:
        """The ids of what `decode` gave, and somebody changed."""
        return list(self._with_offsets(text, special=False).ids)

    def encode(self, text: Text) -> Encoded:
        """Ids of a text as DESIGN says: special tokens for plain text, the template for chat, nothing for ids."""
        if isinstance(text, Ids):
            encoded = Encoded(text.ids, None, "")
        elif isinstance(text, Chat):
            encoded = self._with_offsets(self._render(text), special=False)
        else:
            encoded = self._with_offsets(text.text, special=True)
        if not encoded.ids:
            raise RequestError("the prompt is empty: it has no tokens; write some text")
        return encoded

    def one(self, token: str | int) -> int:
        """The id of a text that is a single token. Raises RequestError with its pieces otherwise."""
        if isinstance(token, int):
            if not 0 <= token < self._vocabulary:
                raise RequestError(f"token id {token} is outside the vocabulary (0 to {self._vocabulary - 1})")
            return token
        ids = self._tokenizer(token, add_special_tokens=False)["input_ids"]
        if len(ids) != 1:
            pieces = " + ".join(repr(self.show(i)) for i in ids) or "nothing"
            spaced = self._tokenizer(f" {token}", add_special_tokens=False)["input_ids"]
            hint = (
                f"{f' {token}'!r}, with a leading blank, is one" if len(spaced) == 1 else "track one of them, or an id"
            )
            raise RequestError(f"{token!r} is not one token but {pieces}; {hint}")
        return int(ids[0])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids` without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def show(self, token: int) -> str:
        """One token as text; the bytes of an incomplete character as hex, such as <E2 82>."""
        if token not in self._shown:
            self._shown[token] = self._show(token)
        return self._shown[token]

    def table(self, ids: Iterable[int]) -> dict[int, str]:
        return {int(i): self.show(int(i)) for i in ids}

    def _show(self, token: int) -> str:
        piece = self._tokenizer.convert_ids_to_tokens(token)
        if piece is None:
            return f"<id {token}>"
        if token in self._tokenizer.all_special_ids:
            return str(piece)
        if match := _SENTENCEPIECE_BYTE.match(piece):
            value = bytes([int(match[1], 16)])
            return value.decode() if value[0] < 128 else f"<{value.hex().upper()}>"
        text = str(self._tokenizer.decode([token], clean_up_tokenization_spaces=False))
        if piece.startswith("\u2581") and not text.startswith(" "):
            text = " " + text
        if "\ufffd" in text and all(c in _BYTES for c in piece):
            return "<" + bytes(_BYTES[c] for c in piece).hex(" ").upper() + ">"
        return text

    def _render(self, chat: Chat) -> str:
        if not self.has_template:
            raise RequestError("this model has no chat template; give the prompt as plain text")
        messages = [{"role": m.role, "content": m.content} for m in chat.messages]
        if not messages:
            raise RequestError("the chat is empty; give at least one message")
        more = messages[-1]["role"] != "assistant"
        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=more))
        except Exception as error:
            raise RequestError(f"the model's chat template refuses these messages: {error}") from error

    def _with_offsets(self, text: str, special: bool) -> Encoded:
        fast = bool(getattr(self._tokenizer, "is_fast", False))
        made = self._tokenizer(text, add_special_tokens=special, return_offsets_mapping=fast, verbose=False)
        offsets = tuple((int(a), int(b)) for a, b in made["offset_mapping"]) if fast else None
        return Encoded(tuple(int(i) for i in made["input_ids"]), offsets, text)
