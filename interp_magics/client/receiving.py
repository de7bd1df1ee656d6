"""A result on its way here: a file of the pool's host, or chunks; in as many parts as it was run in."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..wire.messages import CancelJob, Chunk, Credit, Done, Fetch, Follow, Submit, Ticket, Welcome
from .door import mapped
from .job import Job


@dataclass
class Tracked:
    """A job of this connection: how to submit it again, whether it is to end, what has come of its result (whole `parts`, and
    `data` of the next), and the port where more is asked for."""

    job: Job[Any]
    submit: Submit | None
    objects: Mapping[str, bytes]
    heard: float = field(default_factory=time.monotonic)
    size: int = 0
    got: int = 0
    data: bytearray = field(default_factory=bytearray)
    bulk: int = 0
    count: int = 1
    parts: list[Any] = field(default_factory=list)
    cancelling: bool = False

    @property
    def wish(self) -> Submit | Follow | CancelJob:
        """What its user wants of it, to be said again where the pool may not have heard it."""
        if self.cancelling:
            return CancelJob(job=self.job.id)
        return self.submit or Follow(job=self.job.id)


class Receiving:
    """Asks for results and puts them together. `send` sends a message to a port, `whole` takes a job whose parts are there,
    `welcome` is what the pool said last of where results are had."""

    def __init__(
        self,
        send: Callable[[Any, int], None],
        whole: Callable[[Tracked], None],
        welcome: Callable[[], Welcome | None],
    ) -> None:
        self._send, self._whole, self._welcome = send, whole, welcome

    def begin(self, tracked: Tracked, done: Done) -> None:
        """The job is done; its result is to be fetched."""
        if not tracked.size:
            tracked.size, tracked.count = max(1, done.size), done.parts
            self._fetch(tracked)

    def again(self, tracked: Tracked) -> None:
        """Nothing has come for a while. The bulk endpoint may be out of reach: the rest comes on the other one."""
        tracked.bulk = 0
        self._send(Fetch(job=tracked.job.id, part=len(tracked.parts), offset=tracked.got), 0)

    def take_ticket(self, tracked: Tracked, ticket: Ticket) -> None:
        welcome = self._welcome()
        if ticket.part != len(tracked.parts):
            return
        data = mapped(welcome.door, ticket.secret, ticket.size) if welcome else None
        if data is None:
            self._fetch_chunks(tracked)
        else:
            self._take_part(tracked, data)

    def take_chunk(self, tracked: Tracked, chunk: Chunk, data: Any) -> None:
        if chunk.part != len(tracked.parts) or chunk.offset != tracked.got or chunk.offset + len(data) > chunk.size:
            return
        if not tracked.data:
            tracked.data = bytearray(chunk.size)
        tracked.data[chunk.offset : chunk.offset + len(data)] = data
        tracked.got += len(data)
        if tracked.got == chunk.size:
            self._take_part(tracked, tracked.data)
            return
        self._send(Credit(job=tracked.job.id, part=chunk.part, chunks=1), tracked.bulk)

    def _fetch(self, tracked: Tracked) -> None:
        """Ask for the next part of the result; on the pool's host for its file."""
        tracked.got, tracked.data = 0, bytearray()
        welcome = self._welcome()
        if welcome and welcome.door and os.access(welcome.door, os.W_OK):
            self._send(Fetch(job=tracked.job.id, part=len(tracked.parts), local=True), 0)
        else:
            self._fetch_chunks(tracked)

    def _fetch_chunks(self, tracked: Tracked) -> None:
        welcome = self._welcome()
        tracked.bulk = welcome.bulk if welcome else 0
        self._send(Fetch(job=tracked.job.id, part=len(tracked.parts)), tracked.bulk)

    def _take_part(self, tracked: Tracked, data: Any) -> None:
        tracked.parts.append(data)
        if len(tracked.parts) == tracked.count:
            self._whole(tracked)
        else:
            self._fetch(tracked)
