"""Corpora that an administrator lays out for the users of a pool. Users know their names, never a path."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import RequestError, nearest
from ..wire.standing import CORPUS_SUFFIXES, CorpusInfo

#: Bytes of a piece: small, so that a client who does not read holds little of the broker's memory.
PIECE_BYTES = 1 << 16


@dataclass(frozen=True)
class Piece:
    """Bytes of the file `name`, which had `size` bytes when it was looked at; the corpus has `files`."""

    name: str
    data: bytes
    size: int
    files: int


class Corpora:
    """Each is a file, or all the .txt and .jsonl files that are in a directory when the pool starts, in the order of their names."""

    def __init__(self, roots: Mapping[str, str]) -> None:
        """Raises RequestError for one that is not there."""
        self._files = {name: _files(name, Path(root).expanduser()) for name, root in roots.items()}
        #: What users are told of them.
        self.infos = tuple(
            CorpusInfo(name=name, files=len(files), nbytes=sum(file.stat().st_size for file in files))
            for name, files in sorted(self._files.items())
        )

    def piece(self, name: str, file: int, offset: int) -> Piece:
        """What a file of a corpus holds from `offset` on. Raises RequestError."""
        files = self._files.get(name)
        if files is None:
            raise RequestError(f"the pool has no corpus {name!r}{nearest(name, self._files)}")
        if file >= len(files):
            raise RequestError(f"the corpus {name!r} has {len(files)} files, so there is no file {file}")
        path = files[file]
        try:
            data, size = _read(path, offset)
        except OSError as error:
            raise RequestError(
                f"{path.name} of the corpus {name!r} cannot be read ({error.strerror}); tell the pool's administrator"
            ) from None
        return Piece(path.name, data, size, len(files))


def _files(name: str, root: Path) -> list[Path]:
    found = sorted(file for file in root.iterdir() if file.suffix in CORPUS_SUFFIXES) if root.is_dir() else [root]
    if not found or not all(file.is_file() and file.suffix in CORPUS_SUFFIXES for file in found):
        raise RequestError(f"the corpus {name!r}: {root} is no .txt or .jsonl file, and no directory with any")
    return [file.resolve() for file in found]


def _read(path: Path, offset: int) -> tuple[bytes, int]:
    """(bytes, size of the file). What has become a link since the pool started is not followed."""
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.pread(opened, PIECE_BYTES, offset), os.fstat(opened).st_size
    finally:
        os.close(opened)
