"""Sending from the broker: a peer that is gone or full never raises into the loop."""

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

import zmq

from ..wire.frames import Buffer, write, write_bytes

log = logging.getLogger(__name__)


class Route(NamedTuple):
    """A client's connection: the endpoint that it came to, and its name there."""

    bulk: bool
    peer: bytes


class Outbox:
    """The sockets as places to send to."""

    def __init__(self, clients: "zmq.Socket[bytes]", bulk: "zmq.Socket[bytes]", workers: "zmq.Socket[bytes]") -> None:
        self._clients, self._bulk, self._workers = clients, bulk, workers

    def client(self, route: Route, message: Any, payload: Buffer | None = None) -> bool:
        """Whether the message could be handed to the connection of `route`."""
        return self._send(self._bulk if route.bulk else self._clients, route.peer, message, payload)

    def clients(self, routes: Iterable[Route], message: Any, payload: Buffer | None = None) -> None:
        for route in list(routes):
            self.client(route, message, payload)

    def worker(self, route: bytes, message: Any, payload: Buffer | None = None) -> bool:
        return self._send(self._workers, route, message, payload)

    def _send(self, socket: "zmq.Socket[bytes]", peer: bytes, message: Any, payload: Buffer | None) -> bool:
        frames = write(message) if payload is None else write_bytes(message, payload)
        try:
            socket.send_multipart([peer, *frames], zmq.NOBLOCK)
        except (zmq.Again, zmq.ZMQError) as error:
            log.info("a message to a peer was dropped: %s", error)
            return False
        return True
