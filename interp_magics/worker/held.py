"""Rows that their owners asked to keep: in host memory, under a quota for each user, until they expire."""

import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ..engine.protocol import HeldRow, HeldSite
from ..program.handles import Handle

_HOLDINGS_OF_ONE = 256
#: What a tensor costs beyond its values.
_OVERHEAD = 1024
_EXPIRE_SECONDS = 1.0


@dataclass(frozen=True)
class _Holding:
    """The rows of one job."""

    owner: str
    handle: Handle
    rows: tuple[HeldRow, ...]
    nbytes: int


class HeldRows:
    """What this process holds. The oldest of a user make room for his newest; of all users, when the whole is full."""

    def __init__(self, epoch: str, user_bytes: int, total_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._epoch, self._user_bytes, self._total_bytes, self._clock = epoch, user_bytes, total_bytes, clock
        self._held: OrderedDict[str, _Holding] = OrderedDict()
        self._used: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._next_expiry = 0.0

    def keep(self, owner: str, seconds: int, rows: Iterable[HeldRow]) -> Handle | None:
        """Hold rows for `seconds`; None when they are more than one user may hold."""
        handle = Handle(secrets.token_hex(16), self._epoch, self._clock() + seconds)
        taken = tuple(_on_host(row) for row in rows)
        size = sum(row.nbytes + _OVERHEAD * len(row.sites) for row in taken)
        if size > self._user_bytes:
            return None
        while self._used[owner] + size > self._user_bytes or self._counts[owner] >= _HOLDINGS_OF_ONE:
            self._drop(next(token for token, holding in self._held.items() if holding.owner == owner))
        while self._used.total() + size > self._total_bytes and self._held:
            self._drop(next(iter(self._held)))
        self._held[handle.token] = _Holding(owner, handle, taken, size)
        self._used[owner] += size
        self._counts[owner] += 1
        return handle

    def find(self, owner: str, wanted: Handle) -> HeldRow | None:
        """A row, for its owner alone."""
        holding = self._held.get(wanted.token)
        if holding is None or holding.owner != owner or holding.handle.expires < self._clock():
            return None
        return holding.rows[wanted.row] if 0 <= wanted.row < len(holding.rows) else None

    def expire(self) -> None:
        """Let go of what has had its time."""
        now = self._clock()
        if now < self._next_expiry:
            return
        self._next_expiry = now + _EXPIRE_SECONDS
        for token in [t for t, holding in self._held.items() if holding.handle.expires < now]:
            self._drop(token)

    def _drop(self, token: str) -> None:
        holding = self._held.pop(token)
        self._used[holding.owner] -= holding.nbytes
        self._counts[holding.owner] -= 1
        if not self._counts[holding.owner]:
            del self._used[holding.owner], self._counts[holding.owner]


def _on_host(row: HeldRow) -> HeldRow:
    sites = {address: HeldSite(site.positions, site.values.cpu()) for address, site in row.sites.items()}
    return replace(row, sites=sites)
