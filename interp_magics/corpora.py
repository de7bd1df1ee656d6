"""Texts of a corpus: in files of this machine, or with the pool, where its administrator laid them."""

import json
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import RequestError

#: Files that hold texts: one a line, or objects with a field "text".
SUFFIXES = (".txt", ".jsonl")


@dataclass(frozen=True)
class Page:
    """Whole lines of a file of a corpus, and where the next page begins; `file` -1 after the last."""

    name: str
    lines: bytes
    file: int
    offset: int


@dataclass(frozen=True)
class PoolCorpus:
    """A corpus that lies with the pool. Iterating reads it anew, a page at a time; every call that takes texts takes it."""

    name: str
    _read: Callable[[int, int], Page]

    def __iter__(self) -> Iterator[str]:
        file, offset = 0, 0
        while file >= 0:
            page = self._read(file, offset)
            where = f"{page.name}, after byte {offset},"
            yield from _texts((line.decode("utf-8", "replace") for line in page.lines.splitlines()), page.name, where)
            file, offset = page.file, page.offset

    def __repr__(self) -> str:
        return f"PoolCorpus({self.name!r})"


def read_texts(path: str | Path) -> Iterator[str]:
    """The texts of a file, one at a time: lines of a .txt file, or the field "text" of the lines of a .jsonl file."""
    file = Path(path).expanduser()
    if file.suffix not in SUFFIXES:
        raise RequestError(f"a corpus is a .txt or a .jsonl file, or texts, not {file.name}")
    if not file.is_file():
        raise RequestError(f"there is no file {file}")
    return _of_file(file)


def listed(texts: Any) -> Any:
    """A few texts, all in hand: those of a file (a Path) or of a corpus of the pool; others as they are."""
    if isinstance(texts, Path):
        return list(read_texts(texts))
    return list(texts) if isinstance(texts, PoolCorpus) else texts


def count_texts(texts: object) -> int:
    """How many texts a corpus has; 0 when only reading it would tell."""
    if isinstance(texts, str | Path):
        with Path(texts).expanduser().open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    return len(texts) if isinstance(texts, Sized) else 0


def _of_file(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8") as lines:
        yield from _texts(lines, file.name, file.name)


def _texts(lines: Iterable[str], name: str, where: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield line.rstrip("\n") if name.endswith(".txt") else _field(line, f"line {number} of {where}")


def _field(line: str, where: str) -> str:
    try:
        text = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError):
        raise RequestError(f'{where} is not an object with a field "text"') from None
    if not isinstance(text, str) or not text:
        raise RequestError(f'the field "text" of {where} is not a text')
    return text
