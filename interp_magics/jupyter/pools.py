"""The pools that a user's Jupyter server can look at: the configured one, and those that the user's kernels started."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from ..api import Pool
from ..client.announced import announced
from ..connecting import connect
from ..display.pool import told
from ..errors import InterpError, RequestError

CONFIGURED = "configured"
#: Seconds that one look waits for pools that are slow to answer; they are told of when they have.
_PATIENCE = 2.0
_SLOW = "it does not answer just now; what is shown is old"
#: Seconds after which a pool that could not be reached is tried again.
_AGAIN = 10.0


@dataclass
class _Watched:
    """A pool under its address: the connection, what was told of it last, and the look that is under way."""

    name: str
    address: str
    pool: Pool | None = None
    shown: dict[str, Any] = field(default_factory=lambda: {"trouble": "it has not answered yet"})
    looking: "Future[None] | None" = None
    after: float = 0.0
    dropped: bool = False

    def look(self) -> None:
        """Ask the pool; what it says, or why it says nothing, is `shown`."""
        try:
            if self.pool is None:
                self.pool = connect(self.address)
            self.shown = {"state": told(self.pool.status())}
        except InterpError as error:
            self.close()
            self.after = time.monotonic() + _AGAIN
            self.shown = {"trouble": str(error)}
        if self.dropped:
            self.close()

    def now(self) -> dict[str, Any]:
        """What is shown; of a pool that is slow to answer what it said last, marked as old."""
        old = self.looking is not None and not self.looking.done() and "state" in self.shown
        return {"state": {**self.shown["state"], "trouble": _SLOW}} if old else self.shown

    def close(self) -> None:
        pool, self.pool = self.pool, None
        if pool is not None:
            pool.close()


class Pools:
    """Connections that last as long as their pools; each is asked in a thread of its own, so that none waits for another."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="interp-panel")

    def states(self) -> list[dict[str, Any]]:
        """For each pool what a panel shows, or under "trouble" why it cannot be told."""
        with self._lock:
            watched = self._current()
            for one in watched:
                if one.looking is None or (one.looking.done() and time.monotonic() >= one.after):
                    one.looking = self._threads.submit(one.look)
        wait([one.looking for one in watched if one.looking is not None], _PATIENCE)
        return [{"name": one.name, "own": one.name != CONFIGURED, **one.now()} for one in watched]

    def cancel(self, name: str, job: str) -> None:
        """End a job. Raises InterpError."""
        with self._lock:
            found = self._watched.get(name)
        pool = None if found is None else found.pool
        if pool is None:
            raise RequestError(f"no pool {name!r} is connected, so job {job} was not ended")
        pool.status().source.cancel(job)

    def close(self) -> None:
        with self._lock:
            for name in list(self._watched):
                self._drop(name)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _current(self) -> list[_Watched]:
        """The pools that there are now; those that are gone are let go of."""
        wanted = dict(_wanted())
        for name in [name for name, one in self._watched.items() if wanted.get(name) != one.address]:
            self._drop(name)
        return [self._watched.setdefault(name, _Watched(name, address)) for name, address in wanted.items()]

    def _drop(self, name: str) -> None:
        """A look that is under way closes what it opens."""
        found = self._watched.pop(name)
        found.dropped = True
        if found.looking is None or found.looking.done():
            found.close()


def _wanted() -> Iterator[tuple[str, str]]:
    """Names and addresses."""
    if url := os.environ.get("INTERP_POOL_URL"):
        yield CONFIGURED, url
    for name, address in announced():
        yield name, str(address)
