"""Results on their way to clients: in chunks as the reader allows, or as a file for one on this host."""

from dataclasses import dataclass

from ..wire.messages import Chunk, Failure, Ticket
from .book import Book
from .door import Door
from .jobs import Job
from .outbox import Outbox, Route
from .schedule import JobKey
from .shelf import StoreError
from .store import Spool

CHUNK = 1 << 20
#: On the endpoint of messages chunks are small, so that a client who does not read holds little of the broker's memory.
SMALL_CHUNK = 1 << 16
FIRST_CHUNKS = 8


@dataclass(frozen=True)
class Places:
    """Where large results are had: the door for clients on this host, the port for results in chunks."""

    door: Door
    bulk_port: int


class Fetching:
    """Who reads which result, and how far they are."""

    def __init__(self, book: Book, spool: Spool, outbox: Outbox, places: Places) -> None:
        self._book, self._spool, self._out, self._places = book, spool, outbox, places
        self._reading: dict[tuple[Route, JobKey], int] = {}

    def begin(self, route: Route, job: Job, part: int, offset: int, local: bool) -> bool:
        """Send a result from `offset` on, or a ticket for its file; False when there is none."""
        key = _part(job, part)
        result = self._spool.find(key)
        if result is None:
            return False
        if local and result.path:
            secret = self._places.door.ticket(result.path)
            self._out.client(route, Ticket(job=job.key[1], part=part, size=result.size, secret=secret))
            return True
        self._reading[route, key] = offset
        self.go_on(route, job, part, FIRST_CHUNKS)
        return True

    def go_on(self, route: Route, job: Job, part: int, chunks: int) -> None:
        """Up to `chunks` more chunks of a result that the connection reads."""
        key = _part(job, part)
        result = self._spool.find(key)
        for _ in range(chunks):
            offset = self._reading.get((route, key))
            if offset is None or result is None or offset >= result.size:
                self._reading.pop((route, key), None)
                return
            try:
                data = self._spool.read(key, offset, CHUNK if route.bulk else SMALL_CHUNK)
            except StoreError as error:
                self._reading.pop((route, key), None)
                self._out.client(route, Failure(code=error.code, message=str(error), job=job.key[1]))
                return
            if not self._out.at_once(route, Chunk(job=job.key[1], part=part, offset=offset, size=result.size), data):
                self._reading.pop((route, key), None)
                return
            self._reading[route, key] = offset + len(data)

    def forget(self, keys: set[JobKey]) -> None:
        """Results are gone."""
        for reading in [reading for reading in self._reading if reading[1] in keys]:
            del self._reading[reading]


def _part(job: Job, part: int) -> JobKey:
    """Where the result of a job, or of one of its parts, is found."""
    return job.parts[part] if part < len(job.parts) else job.key
