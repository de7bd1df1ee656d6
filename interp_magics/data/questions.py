"""Question files: what is asked, the answer that shows a behaviour, and the one that does not."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from ..errors import RequestError

_QUESTION = ("question", "prompt")
_POSITIVE = ("answer_matching_behavior", "positive")
_NEGATIVE = ("answer_not_matching_behavior", "negative")
_CHOICE = re.compile(r"\(([A-Z])\)")
#: The letter of a choice: (A), A), A., A: or [A] at the beginning of a line, (A) anywhere.
_MARK = re.compile(r"^\s*[(\[]?[A-Za-z][)\].:]\s|\([A-Z]\)\s", re.MULTILINE)
_LETTER = re.compile(r"^\s*\(?([A-Z])\)?\s*$")
_SHOWN = 3


@dataclass(frozen=True)
class Question:
    """What is asked; the answers as they follow it; the row of the file that says so."""

    text: str
    positive: str
    negative: str
    row: int


@dataclass(frozen=True)
class Unusable:
    """A row of a file that is no question, and why."""

    row: int
    why: str


@dataclass(frozen=True)
class Split:
    """Three parts of a file. No question is in two of them, whatever the order of its choices."""

    train: "Questions"
    validation: "Questions"
    test: "Questions"


@dataclass(frozen=True, repr=False)
class Questions(Sequence[Question]):
    """Questions in order, the rows that were left out, and how a question is put: `template` with {question}, or with
    `chat` as a user's message that the assistant answers."""

    items: tuple[Question, ...]
    unusable: tuple[Unusable, ...] = ()
    template: str = "{question}\n\nAnswer:"
    chat: bool = False

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, place: int) -> Question: ...

    @overload
    def __getitem__(self, place: slice) -> "Questions": ...

    def __getitem__(self, place: int | slice) -> "Question | Questions":
        return replace(self, items=self.items[place]) if isinstance(place, slice) else self.items[place]

    def __iter__(self) -> Iterator[Question]:
        return iter(self.items)

    def pairs(self) -> list[tuple[Any, Any]]:
        """Every question with each of its answers, as texts."""
        return [(self._text(one, one.positive), self._text(one, one.negative)) for one in self.items]

    def split(self, train: float = 0.4, validation: float = 0.1, seed: int = 0) -> Split:
        """Parts of about these shares, the rest for the test; questions that are the same but for the order of their choices
        stay together. Raises RequestError when a part would be empty."""
        if not (train > 0 and validation > 0 and train + validation < 1):
            raise RequestError(
                f"train {train} and validation {validation} must be above 0 and leave something to test on"
            )
        groups: dict[str, list[Question]] = {}
        for one in self.items:
            groups.setdefault(_asked(one.text), []).append(one)
        order = np.random.default_rng(seed).permutation(len(groups))
        shuffled = [list(groups.values())[i] for i in order]
        ends = np.cumsum([len(group) for group in shuffled]) / max(1, len(self.items))
        parts: list[list[Question]] = [[], [], []]
        for group, end in zip(shuffled, ends, strict=True):
            share = end - len(group) / len(self.items) / 2
            parts[int(share >= train) + int(share >= train + validation)] += group
        if not all(parts):
            raise RequestError(
                f"{len(groups)} different questions are too few for a training, a validation and a test part"
            )
        return Split(*(replace(self, items=tuple(part), unusable=()) for part in parts))

    def _text(self, one: Question, answer: str) -> Any:
        if self.chat:
            return [{"role": "user", "content": one.text}, {"role": "assistant", "content": answer.strip()}]
        before = self.template.replace("{question}", one.text)
        between = "" if answer[:1].isspace() or before[-1:].isspace() else " "
        return before + between + answer

    def __repr__(self) -> str:
        return f"Questions({len(self)} questions{_left_out(self.unusable)})"


def _left_out(unusable: Sequence[Unusable]) -> str:
    if not unusable:
        return ""
    named = "; ".join(f"row {one.row}: {one.why}" for one in unusable[:_SHOWN])
    more = f"; and {len(unusable) - _SHOWN} more" if len(unusable) > _SHOWN else ""
    return f", {len(unusable)} rows left out ({named}{more})"


def read_questions(path: str | Path, template: str | None = None, chat: bool = False) -> Questions:
    """Questions of a .jsonl or .json file (a list of objects): fields question, answer_matching_behavior and
    answer_not_matching_behavior, or prompt, positive and negative. A row that cannot be used is named, never guessed at.
    Raises RequestError when there is none that can."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise RequestError(f"there is no file {file}")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"{file.name} is not UTF-8: {error}") from None
    return _made(_rows(text, file), template, chat, file.name)


def _rows(text: str, file: Path) -> list[tuple[int, Any]]:
    """The rows of a file with their numbers: those of its lines, where each is a row."""
    if file.suffix == ".jsonl":
        return [(number, _parsed(line)) for number, line in enumerate(text.split("\n")) if line.strip()]
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise RequestError(f"{file.name} is not JSON: {error}") from None
    if not isinstance(rows, list):
        raise RequestError(f"{file.name} holds no list of questions but a {type(rows).__name__}")
    return list(enumerate(rows))


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def questions(rows: Sequence[Any], template: str | None = None, chat: bool = False) -> Questions:
    """Questions from rows as `read_questions` finds them in a file."""
    return _made(list(enumerate(rows)), template, chat, "the list")


def _made(rows: Sequence[tuple[int, Any]], template: str | None, chat: bool, source: str) -> Questions:
    if template is not None and "{question}" not in template:
        raise RequestError(f"the template {template!r} has no {{question}} in it")
    read = [_question(row, number) for number, row in rows]
    made = tuple(one for one in read if isinstance(one, Question))
    found = Questions(made, tuple(one for one in read if isinstance(one, Unusable)), chat=chat)
    if not made:
        raise RequestError(f"{source} has no question that can be used{_left_out(found.unusable)}")
    return found if template is None else replace(found, template=template)


def _question(row: Any, number: int) -> Question | Unusable:
    if not isinstance(row, dict):
        return Unusable(number, "not a JSON object")
    values = []
    for names in (_QUESTION, _POSITIVE, _NEGATIVE):
        name = next((name for name in names if name in row), None)
        if name is None:
            return Unusable(number, f"no field {names[0]!r}")
        if not isinstance(row[name], str) or not row[name].strip():
            return Unusable(number, f"{name!r} is not a text")
        values.append(row[name])
    text, positive, negative = values
    short, long = sorted((positive.strip(), negative.strip()), key=len)
    if short == long:
        return Unusable(number, f"both answers are {short!r}")
    if long.startswith(short):
        return Unusable(number, f"the answer {short!r} is the beginning of the other, so no token tells them apart")
    choices = _CHOICE.findall(text)
    for answer in (positive, negative):
        letter = _LETTER.match(answer)
        if letter and choices and letter[1] not in choices:
            return Unusable(number, f"answer {answer.strip()!r} is not among the choices")
    return Question(text, positive, negative, number)


def _asked(text: str) -> str:
    """A question without the letters and the order of its choices."""
    parts = [" ".join(part.split()).lower() for part in _MARK.split(text)]
    stem, *choices = [part.rstrip(".,;") for part in parts]
    return "\n".join([stem, *sorted(choices)])
