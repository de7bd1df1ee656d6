"""Corpora that an administrator lays out for the users of a pool. Users know their names, never a path."""

from collections.abc import Mapping
from pathlib import Path

from ..errors import RequestError, nearest
from ..wire.standing import CorpusInfo

_SUFFIXES = (".txt", ".jsonl")
#: Bytes of a page, and of the longest line.
PAGE_BYTES = 1 << 20
MOST_LINE_BYTES = 16 << 20


class Corpora:
    """Each is a file, or all the .txt and .jsonl files of a directory, in the order of their names."""

    def __init__(self, roots: Mapping[str, str]) -> None:
        """Raises RequestError for one that is not there."""
        self._files = {name: _files(name, Path(root).expanduser()) for name, root in roots.items()}

    def infos(self) -> tuple[CorpusInfo, ...]:
        """What users are told of them."""
        return tuple(
            CorpusInfo(name=name, files=len(files), nbytes=sum(file.stat().st_size for file in files))
            for name, files in sorted(self._files.items())
        )

    def page(self, name: str, file: int, offset: int) -> tuple[str, bytes, int, int]:
        """(the file's name, whole lines of it from `offset` on, file and offset of the next page; -1 after the last)."""
        files = self._files.get(name)
        if files is None:
            raise RequestError(f"the pool has no corpus {name!r}{nearest(name, self._files)}")
        if file >= len(files):
            raise RequestError(f"the corpus {name!r} has {len(files)} files, so there is no file {file}")
        lines = _lines(files[file], offset)
        more = offset + len(lines) < files[file].stat().st_size
        after = (file, offset + len(lines)) if more else (file + 1 if file + 1 < len(files) else -1, 0)
        return files[file].name, lines, *after


def _files(name: str, root: Path) -> list[Path]:
    found = sorted(file for file in root.iterdir() if file.suffix in _SUFFIXES) if root.is_dir() else [root]
    if not found or not all(file.is_file() and file.suffix in _SUFFIXES for file in found):
        raise RequestError(f"the corpus {name!r}: {root} is no .txt or .jsonl file, and no directory with any")
    return found


def _lines(file: Path, offset: int) -> bytes:
    """Whole lines, as many as a page holds, but one at least."""
    with file.open("rb") as opened:
        opened.seek(offset)
        read = opened.read(PAGE_BYTES)
        if len(read) < PAGE_BYTES:
            return read
        if end := read.rfind(b"\n") + 1:
            return read[:end]
        read += opened.readline(MOST_LINE_BYTES)
    if not read.endswith(b"\n") and len(read) > MOST_LINE_BYTES:
        raise RequestError(f"{file.name} has a line of more than {MOST_LINE_BYTES >> 20} MB after byte {offset}")
    return read
