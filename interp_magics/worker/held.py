"""Rows that their owners asked to keep: in host memory, under a quota for each user, until they expire."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ..engine.protocol import HeldRow, HeldSite
from ..program.handles import Handle


@dataclass(frozen=True)
class _Holding:
    """The rows of one job."""

    owner: str
    handle: Handle
    rows: tuple[HeldRow, ...]

    @property
    def nbytes(self) -> int:
        return sum(row.nbytes for row in self.rows)


class HeldRows:
    """What this process holds. The oldest of a user make room for his newest; of all users, when the whole is full."""

    def __init__(self, epoch: str, user_bytes: int, total_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._epoch, self._user_bytes, self._total_bytes, self._clock = epoch, user_bytes, total_bytes, clock
        self._held: OrderedDict[str, _Holding] = OrderedDict()

    def keep(self, owner: str, seconds: int, rows: Iterable[HeldRow]) -> Handle | None:
        """Hold rows for `seconds`; None when they are more than one user may hold."""
        handle = Handle(secrets.token_hex(16), self._epoch, self._clock() + seconds)
        holding = _Holding(owner, handle, tuple(_on_host(row) for row in rows))
        if holding.nbytes > self._user_bytes:
            return None
        self._make_room(lambda one: one.owner == owner, self._user_bytes - holding.nbytes)
        self._make_room(lambda one: True, self._total_bytes - holding.nbytes)
        self._held[handle.token] = holding
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
        for token in [t for t, holding in self._held.items() if holding.handle.expires < now]:
            del self._held[token]

    def _make_room(self, counts: Callable[[_Holding], bool], room: int) -> None:
        counted = [(token, holding.nbytes) for token, holding in self._held.items() if counts(holding)]
        used = sum(size for _, size in counted)
        for token, size in counted:
            if used <= room:
                return
            del self._held[token]
            used -= size


def _on_host(row: HeldRow) -> HeldRow:
    sites = {address: HeldSite(site.positions, site.values.cpu()) for address, site in row.sites.items()}
    return replace(row, sites=sites)
