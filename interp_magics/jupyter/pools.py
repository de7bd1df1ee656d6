"""The pools that a user's Jupyter server can look at: the configured one, and those that the user's kernels started."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..api import Pool
from ..client.announced import announced
from ..connecting import connect
from ..display.pool import told
from ..errors import InterpError

CONFIGURED = "configured"


@dataclass
class _Open:
    """A pool that was reached, under the address that it was reached by."""

    address: str
    pool: Pool


class Pools:
    """Connections that last as long as their pools; may be used by several threads."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()

    def states(self) -> list[dict[str, Any]]:
        """For each pool what a panel shows, or under "trouble" why it cannot be told."""
        with self._lock:
            wanted = dict(_wanted())
            for name in [name for name, one in self._open.items() if wanted.get(name) != one.address]:
                self._close(name)
            return [self._state(name, address) for name, address in wanted.items()]

    def cancel(self, name: str, job: str) -> None:
        """End a job. Raises InterpError."""
        with self._lock:
            if (found := self._open.get(name)) is not None:
                found.pool.status().source.cancel(job)

    def close(self) -> None:
        with self._lock:
            for name in list(self._open):
                self._close(name)

    def _state(self, name: str, address: str) -> dict[str, Any]:
        own = name != CONFIGURED
        try:
            return {"name": name, "own": own, "state": told(self._reached(name, address).status())}
        except InterpError as error:
            self._close(name)
            return {"name": name, "own": own, "trouble": str(error)}

    def _reached(self, name: str, address: str) -> Pool:
        if name not in self._open:
            self._open[name] = _Open(address, connect(address))
        return self._open[name].pool

    def _close(self, name: str) -> None:
        if (found := self._open.pop(name, None)) is not None:
            found.pool.close()


def _wanted() -> Iterator[tuple[str, str]]:
    """Names and addresses."""
    if url := os.environ.get("INTERP_POOL_URL"):
        yield CONFIGURED, url
    for name, address in announced():
        yield name, str(address)
