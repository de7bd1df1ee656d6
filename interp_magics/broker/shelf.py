"""Bytes that outlive the broker: small ones in its journal, large ones as files beside it; each a user's, under a name."""

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .journal import Journal
from .schedule import JobKey

#: Up to this size bytes lie in the journal itself: one write instead of a file.
SMALL = 32 << 10


class StoreError(Exception):
    """The store cannot take something; the message goes to the user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Slip:
    """Where bytes are: in the journal under `number` (and here until it is written), or in the file at `path`."""

    number: int
    size: int
    until: float
    path: Path | None
    data: bytes | None = None


class Shelf:
    """A named shelf of a journal, with its files in `directory`."""

    def __init__(self, name: str, directory: Path, journal: Journal, number: Iterator[int]) -> None:
        """`number` counts on from the highest that the journal has, for all its shelves."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._name, self._directory, self._journal, self._numbers = name, directory, journal, number
        self._slips: dict[JobKey, Slip] = {}
        self._used: Counter[str] = Counter()
        for old, key, size, until, file in journal.kept(name):
            path = directory / file if file else None
            if path is not None and not path.is_file():
                journal.drop(old)
                continue
            self._slips[key] = Slip(old, size, until, path)
            self._used[key[0]] += size
        known = {slip.path for slip in self._slips.values()}
        for path in set(directory.iterdir()) - known:
            path.unlink(missing_ok=True)

    def put(self, key: JobKey, data: bytes, until: float = 0.0) -> Slip:
        """Keep `data`. Raises StoreError when the disk does not take it."""
        if len(data) <= SMALL:
            slip = Slip(next(self._numbers), len(data), until, None, data)
            self._note(key, slip, data)
            return slip
        path = self._fresh()
        try:
            path.write_bytes(data)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise StoreError(
                "storage", f"the pool's disk cannot take it ({error.strerror}); try again later"
            ) from error
        return self._file(key, path, len(data), until)

    def take(self, key: JobKey, source: Path, until: float = 0.0) -> Slip:
        """Keep a file, which is moved here. Raises StoreError when it is not there."""
        path = self._fresh()
        try:
            size = source.stat().st_size
            os.replace(source, path)
        except OSError as error:
            raise StoreError("internal", f"the worker's result file is gone: {error.strerror}") from error
        return self._file(key, path, size, until)

    def find(self, key: JobKey) -> Slip | None:
        return self._slips.get(key)

    def read(self, key: JobKey, offset: int = 0, size: int | None = None) -> bytes:
        """The bytes, or `size` of them from `offset` on. Raises StoreError when they cannot be read."""
        slip = self._slips[key]
        end = None if size is None else offset + size
        if slip.path is None:
            return (self._journal.data(slip.number) if slip.data is None else slip.data)[offset:end]
        try:
            with slip.path.open("rb") as file:
                file.seek(offset)
                return file.read(-1 if size is None else size)
        except OSError as error:
            raise StoreError("storage", f"the pool's disk cannot read it ({error.strerror})") from error

    def prolong(self, key: JobKey, until: float) -> None:
        """Keep it at least until then."""
        slip = self._slips[key]
        if until > slip.until:
            slip.until = until
            self._journal.prolong(slip.number, until)

    def used(self, user: str) -> int:
        """Bytes of a user."""
        return self._used[user]

    def drop(self, key: JobKey) -> None:
        """Keep it no longer, if it is here."""
        slip = self._slips.pop(key, None)
        if slip is None:
            return
        self._used[key[0]] -= slip.size
        if not self._used[key[0]]:
            del self._used[key[0]]
        self._journal.drop(slip.number)
        if slip.path:
            slip.path.unlink(missing_ok=True)

    def expire(self, now: float) -> None:
        """Drop what was to be kept until a time that is over."""
        for key in [key for key, slip in self._slips.items() if slip.until < now]:
            self.drop(key)

    def held(self) -> list[JobKey]:
        return list(self._slips)

    def _fresh(self) -> Path:
        return self._directory / secrets.token_hex(16)

    def _file(self, key: JobKey, path: Path, size: int, until: float) -> Slip:
        slip = Slip(next(self._numbers), size, until, path)
        self._note(key, slip, path.name)
        return slip

    def _note(self, key: JobKey, slip: Slip, held: str | bytes) -> None:
        self.drop(key)
        self._slips[key] = slip
        self._used[key[0]] += slip.size
        self._journal.keep(
            slip.number, self._name, key, slip.size, slip.until, held, partial(setattr, slip, "data", None)
        )
