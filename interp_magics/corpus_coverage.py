"""What a corpus holds, before a dictionary is trained on it: languages, code, chat and tool turns, repetition; and what it lacks.

language   of texts with 40 letters or more, by py3langid; "short" for others
code       a text is code where a fifth of its lines that are not empty end with one of ; { } or begin with a word that begins
           lines of programs alone, such as "def" or "#include"
turns      messages of chats, by role; also those that a text holds as ChatML
repeated   texts that were there before, letter by letter
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from . import building
from .corpora import read_texts
from .data.view import Viewed
from .errors import RequestError
from .program.language import Chat, Ids, Plain
from .program.texts import guessed_tokens

_LETTERS = 40
_STATEMENTS = (
    r"(async )?def \w+\(", r"class \w+\s*[:({]", r"import [\w.]+( as \w+)?;?$", r"from [\w.]+ import ", r"#include\s*[<\"]",
    r"(public|private|static) [\w<>\[\]]+ \w+", r"fn \w+\s*[(<]", r"func \w*\s*\(", r"return .*;$", r"(const|let|var) \w+\s*[:=]",
    r"\}", r"</?\w+[^>]*>$",
)  # fmt: skip
_CODE_LINE = re.compile(rf"^\s*({'|'.join(_STATEMENTS)})|[;{{}}]\s*$")
_CODE_SHARE = 0.2
_CHATML = re.compile(r"<\|im_start\|>(\w+)")
#: Shares, and numbers of tokens, beyond which a corpus is called narrow.
_ONE_LANGUAGE, _REPEATED, _FEW_TOKENS = 0.95, 0.2, 1_000_000
_SAMPLED = 2000


@dataclass(frozen=True)
class Coverage(Viewed):
    """Counts of texts (`languages`, `code`, `repeated`), of messages by role (`turns`), and about how many `tokens` there are."""

    texts: int
    tokens: int
    languages: dict[str, int]
    code: int
    turns: dict[str, int]
    repeated: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """What features trained on this corpus will not have seen enough of."""
        told = sum(count for name, count in self.languages.items() if name != "short")
        found = []
        if told and (most := max((c, n) for n, c in self.languages.items() if n != "short"))[0] > _ONE_LANGUAGE * told:
            found.append(f"nearly all of it is in one language ({most[1]})")
        if not self.code:
            found.append("there is no code")
        if not self.turns:
            found.append("there are no chats, so turns of users and assistants are missing")
        elif "tool" not in self.turns:
            found.append("there are no turns of tools")
        if self.repeated > _REPEATED * self.texts:
            found.append(f"{self.repeated / self.texts:.0%} of its texts repeat others")
        if self.tokens < _FEW_TOKENS:
            found.append(f"it has about {self.tokens:,} tokens, which is few to learn from")
        return tuple(found)

    def __repr__(self) -> str:
        named = sorted(self.languages.items(), key=lambda one: -one[1])
        languages = ", ".join(f"{name} {count / max(1, self.texts):.0%}" for name, count in named[:6])
        turns = ", ".join(f"{count:,} {role}" for role, count in sorted(self.turns.items())) or "none"
        lines = [
            f"Coverage({self.texts:,} texts, about {self.tokens:,} tokens; languages: {languages}; "
            f"code {self.code / max(1, self.texts):.0%}; turns: {turns}; repeated {self.repeated / max(1, self.texts):.0%})"
        ]
        return "\n".join(lines + [f"  warning: {warning}" for warning in self.warnings])


def coverage(texts: str | Path | Iterable[Any]) -> Coverage:
    """What is in a corpus: a list of texts, or a file as `capture_corpus` takes it, read once from its beginning to its end. Raises
    RequestError for what is no text, and where py3langid is missing."""
    classify = _classifier()
    given = read_texts(texts) if isinstance(texts, str | Path) else texts
    languages: Counter[str] = Counter()
    turns: Counter[str] = Counter()
    seen: set[bytes] = set()
    count = tokens = code = repeated = 0
    for text in building.each(given):
        count += 1
        tokens += guessed_tokens(text)
        content, roles = _read(text)
        turns.update(roles)
        key = sha256(content.encode("utf-8", "surrogatepass")).digest()[:12]
        repeated += key in seen
        seen.add(key)
        if not isinstance(text, Ids):
            code += _is_code(content)
            languages[_language(content, classify)] += 1
    if not count:
        raise RequestError("the corpus has no text")
    return Coverage(count, tokens, dict(languages), code, dict(turns), repeated)


def _classifier() -> Any:
    try:
        from py3langid import classify
    except ImportError:
        raise RequestError("coverage tells languages by py3langid: pip install 'interp-magics[corpus]'") from None
    return classify


def _read(text: Any) -> tuple[str, list[str]]:
    """What a text says, and the roles of its turns."""
    if isinstance(text, Chat):
        return "\n".join(message.content for message in text.messages), [message.role for message in text.messages]
    if isinstance(text, Plain):
        return text.text, _CHATML.findall(text.text)
    return " ".join(map(str, text.ids)), []


def _is_code(content: str) -> bool:
    lines = [line for line in content.splitlines() if line.strip()]
    return bool(lines) and sum(_CODE_LINE.search(line) is not None for line in lines) >= _CODE_SHARE * len(lines)


def _language(content: str, classify: Any) -> str:
    plain = _CHATML.sub(" ", content)[:_SAMPLED]
    return str(classify(plain)[0]) if sum(map(str.isalpha, plain)) >= _LETTERS else "short"
