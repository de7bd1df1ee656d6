"""Objects that clients put and results that workers leave: owner-scoped, with quotas and times to live."""

import hashlib
from itertools import count
from pathlib import Path

from .journal import Journal
from .rules import Rules
from .schedule import JobKey
from .shelf import Shelf, Slip, StoreError

_LONGEST_TTL = 24 * 3600


class ObjectStore:
    """Immutable objects under the sha256 of their bytes, for each user apart."""

    def __init__(self, shelf: Shelf, rules: Rules) -> None:
        self._shelf, self._rules = shelf, rules

    def put(self, user: str, digest: str, data: bytes, ttl: int, now: float) -> None:
        """Store `data`. Raises StoreError when the digest is not that of the bytes, or the user's quota is full."""
        if hashlib.sha256(data).hexdigest() != digest:
            raise StoreError("bad_request", "the object's bytes do not have the digest that was given")
        until = now + min(ttl, _LONGEST_TTL)
        if self._shelf.find((user, digest)):
            self._shelf.prolong((user, digest), until)
            return
        most = self._rules.of(user).store_bytes
        if self._shelf.used(user) + len(data) > most:
            raise StoreError("quota", f"your stored objects would pass {most / 1e9:.1f} GB; wait until some expire")
        self._shelf.put((user, digest), data, until)

    def get(self, user: str, digest: str) -> bytes | None:
        return self._shelf.read((user, digest)) if self._shelf.find((user, digest)) else None

    def missing(self, user: str, digests: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(d for d in digests if not self._shelf.find((user, d)))

    def prolong(self, user: str, digests: tuple[str, ...], now: float) -> None:
        """A job needs these: keep them as long as it may wait."""
        for digest in digests:
            self._shelf.prolong((user, digest), now + _LONGEST_TTL)

    def drop(self, user: str, digest: str) -> None:
        """Keep an object no longer."""
        self._shelf.drop((user, digest))

    def used(self, user: str) -> int:
        return self._shelf.used(user)

    def expire(self, now: float) -> None:
        self._shelf.expire(now)


class Spool:
    """Results of finished jobs. A worker writes the file that `incoming` names; the broker takes it when the attempt counts."""

    def __init__(self, root: Path, shelf: Shelf) -> None:
        self._root, self._shelf = root, shelf
        (root / "incoming").mkdir(parents=True, exist_ok=True, mode=0o700)

    def incoming(self, number: int, attempt: int) -> str:
        """The name, relative to the root, that an attempt of a job writes its result to."""
        return f"incoming/{number:012d}-{attempt}"

    def keep(self, key: JobKey, data: bytes) -> Slip:
        return self._shelf.put(key, data)

    def commit(self, key: JobKey, incoming: str) -> Slip:
        """Take a worker's file over. Raises StoreError when it is not there."""
        return self._shelf.take(key, self._root / incoming)

    def size(self, incoming: str) -> int:
        """Bytes of what a worker has written; 0 when there is nothing."""
        path = self._root / incoming
        return path.stat().st_size if path.is_file() else 0

    def discard(self, incoming: str) -> None:
        (self._root / incoming).unlink(missing_ok=True)

    def sweep(self, expected: set[str]) -> None:
        """Remove what workers left for attempts that count no more."""
        for path in (self._root / "incoming").iterdir():
            if f"incoming/{path.name}" not in expected:
                path.unlink(missing_ok=True)

    def find(self, key: JobKey) -> Slip | None:
        return self._shelf.find(key)

    def used(self, user: str) -> int:
        return self._shelf.used(user)

    def release(self, key: JobKey) -> None:
        self._shelf.drop(key)

    def read(self, key: JobKey, offset: int = 0, size: int | None = None) -> bytes:
        return self._shelf.read(key, offset, size)

    def held(self) -> list[JobKey]:
        return self._shelf.held()


def open_stores(root: Path, journal: Journal, rules: Rules) -> tuple[ObjectStore, Spool]:
    """The stores of a pool, with what the journal says of them."""
    known = (number for shelf in ("objects", "results") for number, *_ in journal.kept(shelf))
    numbers = count(max(known, default=0) + 1)
    objects = ObjectStore(Shelf("objects", root / "objects", journal, numbers), rules)
    return objects, Spool(root, Shelf("results", root / "results", journal, numbers))
