"""Objects that clients put and results that workers leave: owner-scoped, with quotas and times to live."""

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from ..wire.messages import Limits
from .schedule import JobKey


class StoreError(Exception):
    """The store cannot take something; the message goes to the user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class _Held:
    data: bytes
    expires: float


class ObjectStore:
    """Immutable objects under the sha256 of their bytes, for each user apart."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held: dict[tuple[str, str], _Held] = {}
        self._used: dict[str, int] = {}

    def put(self, user: str, digest: str, data: bytes, ttl: int, now: float) -> None:
        """Store `data`. Raises StoreError when the digest is not that of the bytes, or the user's quota is full."""
        if hashlib.sha256(data).hexdigest() != digest:
            raise StoreError("bad_request", "the object's bytes do not have the digest that was given")
        expires = now + min(ttl, 24 * 3600)
        held = self._held.get((user, digest))
        if held:
            held.expires = max(held.expires, expires)
            return
        used = self._used.get(user, 0)
        if used + len(data) > self._limits.store_bytes:
            raise StoreError(
                "quota",
                f"your stored objects would pass {self._limits.store_bytes / 1e9:.1f} GB; wait until some expire",
            )
        self._held[user, digest] = _Held(data, expires)
        self._used[user] = used + len(data)

    def get(self, user: str, digest: str) -> bytes | None:
        held = self._held.get((user, digest))
        return held.data if held else None

    def missing(self, user: str, digests: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(d for d in digests if (user, d) not in self._held)

    def expire(self, now: float) -> None:
        for (user, digest), held in list(self._held.items()):
            if held.expires < now:
                del self._held[user, digest]
                self._used[user] -= len(held.data)


@dataclass
class Result:
    """A finished result: small ones in memory, large ones as a committed spool file."""

    size: int
    data: bytes | None
    path: Path | None


class Spool:
    """Results of finished jobs. A worker writes `incoming/NAME`; the broker renames it when the attempt counts."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root, self._limits = root, limits
        self._results: dict[JobKey, Result] = {}
        for name in ("incoming", "results"):
            (root / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    def incoming(self) -> str:
        """A fresh name for a worker to write to, relative to the root."""
        return f"incoming/{secrets.token_hex(16)}"

    def keep(self, key: JobKey, data: bytes) -> Result:
        self._results[key] = Result(len(data), data, None)
        return self._results[key]

    def commit(self, key: JobKey, incoming: str) -> Result:
        """Take a worker's file over. Raises StoreError when it is not there or too large."""
        source = self._root / incoming
        target = self._root / "results" / secrets.token_hex(16)
        try:
            size = source.stat().st_size
            os.replace(source, target)
        except OSError as error:
            raise StoreError("internal", f"the worker's result file is gone: {error.strerror}") from error
        self._results[key] = Result(size, None, target)
        return self._results[key]

    def discard(self, incoming: str) -> None:
        (self._root / incoming).unlink(missing_ok=True)

    def find(self, key: JobKey) -> Result | None:
        return self._results.get(key)

    def used(self, user: str) -> int:
        return sum(result.size for key, result in self._results.items() if key[0] == user)

    def release(self, key: JobKey) -> None:
        result = self._results.pop(key, None)
        if result and result.path:
            result.path.unlink(missing_ok=True)

    def read(self, key: JobKey, offset: int, size: int) -> bytes:
        result = self._results[key]
        if result.data is not None:
            return result.data[offset : offset + size]
        assert result.path is not None
        with result.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
