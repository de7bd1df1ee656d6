"""Sending from the broker: a peer that is gone or full never raises into the loop."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import zmq

from ..wire.frames import Buffer, write, write_bytes

log = logging.getLogger(__name__)


class Route(NamedTuple):
    """A client's connection: the endpoint that it came to, its name there, and the key that it was let in with."""

    bulk: bool
    peer: bytes
    key: str = ""


class _Letter(NamedTuple):
    socket: "zmq.Socket[bytes]"
    peer: bytes
    message: Any
    payload: Buffer | None


class Outbox:
    """The sockets as places to send to. What is said is held back until `flush`, when what it speaks of is written down."""

    def __init__(
        self,
        clients: "zmq.Socket[bytes]",
        bulk: "zmq.Socket[bytes]",
        workers: "zmq.Socket[bytes]",
        admitted: Callable[[str], object],
    ) -> None:
        """`admitted` says whether a key is let in now: what happens to jobs is told to no other."""
        self._clients, self._bulk, self._workers, self._admitted = clients, bulk, workers, admitted
        self._held: list[_Letter] = []

    def client(self, route: Route, message: Any, payload: Buffer | None = None) -> None:
        self._held.append(_Letter(self._socket(route), route.peer, message, payload))

    def clients(self, routes: Iterable[Route], message: Any, payload: Buffer | None = None) -> None:
        for route in routes:
            if self._admitted(route.key):
                self.client(route, message, payload)

    def worker(self, route: bytes, message: Any, payload: Buffer | None = None) -> None:
        self._held.append(_Letter(self._workers, route, message, payload))

    def at_once(self, route: Route, message: Any, payload: Buffer) -> bool:
        """Send a piece of what is written already; whether the connection took it."""
        return _send(_Letter(self._socket(route), route.peer, message, payload))

    def retract(self, job: str, routes: Iterable[Route]) -> None:
        """Say nothing of a job to these connections."""
        peers = {route.peer for route in routes}
        self._held = [
            letter for letter in self._held if letter.peer not in peers or getattr(letter.message, "job", "") != job
        ]

    def rewrite(self, change: Callable[[Any], Any]) -> None:
        """Say what `change` makes of each message, where some are not true after all."""
        self._held = [letter._replace(message=change(letter.message)) for letter in self._held]

    def flush(self) -> list[bytes]:
        """Send what is held; the routes of workers that could not be reached."""
        held, self._held = self._held, []
        return [letter.peer for letter in held if not _send(letter) and letter.socket is self._workers]

    def _socket(self, route: Route) -> "zmq.Socket[bytes]":
        return self._bulk if route.bulk else self._clients


def _send(letter: _Letter) -> bool:
    frames = write(letter.message) if letter.payload is None else write_bytes(letter.message, letter.payload)
    try:
        letter.socket.send_multipart([letter.peer, *frames], zmq.NOBLOCK)
    except (zmq.Again, zmq.ZMQError) as error:
        log.info("a message to a peer was dropped: %s", error)
        return False
    return True
