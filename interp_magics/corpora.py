"""Texts of a corpus: in files of this machine, or with the pool, where its administrator laid them."""

import json
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import RequestError
from .wire.frames import MAX_CLIENT_HEADER
from .wire.standing import CORPUS_SUFFIXES


@dataclass(frozen=True)
class Piece:
    """Bytes of the file `name`, which has `size` bytes; the corpus has `files`."""

    name: str
    data: bytes
    size: int
    files: int


@dataclass(frozen=True)
class PoolCorpus:
    """A corpus that lies with the pool. Iterating reads it anew, a piece at a time; every call that takes texts takes it."""

    name: str
    _read: Callable[[int, int], Piece]

    def __iter__(self) -> Iterator[str]:
        file, files = 0, 1
        while file < files:
            first = self._read(file, 0)
            yield from _texts(self._lines(file, first), first.name)
            file, files = file + 1, first.files

    def __repr__(self) -> str:
        return f"PoolCorpus({self.name!r})"

    def _lines(self, file: int, piece: Piece) -> Iterator[bytes]:
        begun: list[bytes] = []
        offset, size = 0, piece.size
        while piece.data:
            first, *others = piece.data.split(b"\n")
            begun.append(first)
            if others:
                yield b"".join(begun)
                yield from others[:-1]
                begun = others[-1:]
            offset += len(piece.data)
            if offset >= size:
                break
            piece = self._read(file, offset)
        yield b"".join(begun)


def read_texts(path: str | Path) -> Iterator[str]:
    """The texts of a file, one at a time: lines of a .txt file, or the field "text" of the lines of a .jsonl file."""
    file = Path(path).expanduser()
    if file.suffix not in CORPUS_SUFFIXES:
        raise RequestError(f"a corpus is a .txt or a .jsonl file, or texts, not {file.name}")
    if not file.is_file():
        raise RequestError(f"there is no file {file}")
    return _of_file(file)


def listed(texts: Any) -> Any:
    """A few texts, all in hand: those of a file (a Path) or of a corpus of the pool; others as they are. Raises RequestError for more
    than one request can hold."""
    if not isinstance(texts, Path | PoolCorpus):
        return texts
    made, size = [], 0
    for text in read_texts(texts) if isinstance(texts, Path) else texts:
        made.append(text)
        size += len(text)
        if size > MAX_CLIENT_HEADER:
            raise RequestError(
                f"{texts} has more than {size / 1e6:.0f} MB of text, and this sends all of it in one request; take some of it: "
                "list(itertools.islice(texts, 1000))"
            )
    return made


def count_texts(texts: object) -> int:
    """How many texts a corpus has; 0 when only reading it would tell."""
    if isinstance(texts, str | Path):
        with Path(texts).expanduser().open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    return len(texts) if isinstance(texts, Sized) else 0


def _of_file(file: Path) -> Iterator[str]:
    with file.open("rb") as lines:
        yield from _texts(lines, file.name)


def _texts(lines: Iterable[bytes], name: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"line {number} of {name}"
            text = _decoded(line.rstrip(b"\r\n"), where)
            yield text if name.endswith(".txt") else _field(text, where)


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"{where} is not UTF-8 (byte {error.start}); convert the file") from None


def _field(line: str, where: str) -> str:
    try:
        text = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError):
        raise RequestError(f'{where} is not an object with a field "text"') from None
    if not isinstance(text, str) or not text:
        raise RequestError(f'the field "text" of {where} is not a text')
    return text
