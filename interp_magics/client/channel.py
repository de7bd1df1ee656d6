"""The sockets to a pool, owned by one thread."""

import logging
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import zmq

from ..wire.frames import Reader, WireError, write
from ..wire.keys import Address, use_client_keys
from ..wire.messages import MAJOR, MINOR, Hello, ToClient

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.25
_CLOSE_SECONDS = 2.0


@dataclass(frozen=True)
class Listener:
    """What a channel calls, in its thread: for each message, for what is none, every `seconds`, when one of these calls
    has failed, and at its end."""

    heard: Callable[[ToClient, list[Any]], None]
    garbled: Callable[[WireError], None]
    tick: Callable[[], None]
    failed: Callable[[Exception], None]
    ended: Callable[[], None]
    seconds: float


class Channel:
    """Sends from any thread; `heard_at` is when something came last."""

    def __init__(self, address: Address, listener: Listener) -> None:
        self._address, self._listener = address, listener
        self._outgoing: deque[tuple[int, list[Any]]] = deque()
        self._closed = False
        self.heard_at = time.monotonic()
        self._context = zmq.Context()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="interp-magics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, frames: list[Any], bulk: int = 0) -> None:
        """Send a message, to the port `bulk` of the pool's host if that is given."""
        self._outgoing.append((bulk, frames))
        self._wake()

    def close(self) -> None:
        """End the thread and its sockets."""
        if not self._closed:
            self._closed = True
            self._wake()
            self._thread.join(_CLOSE_SECONDS)

    def _wake(self) -> None:
        try:
            self._wake_write.send(b"\0")
        except (BlockingIOError, OSError):
            return

    def _run(self) -> None:
        sockets = {0: self._open(self._address.endpoint)}
        try:
            self._serve(sockets)
        finally:
            for opened in sockets.values():
                opened.close(linger=500)
            self._context.term()
            self._listener.ended()
            self._wake_read.close()
            self._wake_write.close()

    def _serve(self, sockets: "dict[int, zmq.Socket[bytes]]") -> None:
        reader, poller = Reader(ToClient), zmq.Poller()
        poller.register(sockets[0], zmq.POLLIN)
        poller.register(self._wake_read.fileno(), zmq.POLLIN)
        next_tick = time.monotonic() + self._listener.seconds
        sockets[0].send_multipart(write(Hello(major=MAJOR, minor=MINOR)))
        while not self._closed:
            poller.poll(int(_POLL_SECONDS * 1000))
            self._drain_wakes()
            while self._outgoing:
                bulk, frames = self._outgoing.popleft()
                if bulk not in sockets:
                    host = self._address.endpoint.rpartition(":")[0]
                    sockets[bulk] = self._open(f"{host}:{bulk}")
                    poller.register(sockets[bulk], zmq.POLLIN)
                sockets[bulk].send_multipart(frames, copy=False)
            for opened in sockets.values():
                self._receive(opened, reader)
            if time.monotonic() > next_tick:
                next_tick = time.monotonic() + self._listener.seconds
                self._guarded(self._listener.tick)

    def _open(self, endpoint: str) -> "zmq.Socket[bytes]":
        opened = self._context.socket(zmq.DEALER)
        opened.routing_id = b"\1" + secrets.token_bytes(16)
        use_client_keys(opened, self._address.client, self._address.server)
        opened.linger = 500
        opened.heartbeat_ivl, opened.heartbeat_timeout = 2000, 10000
        opened.sndhwm = opened.rcvhwm = 0
        opened.connect(endpoint)
        return opened

    def _drain_wakes(self) -> None:
        try:
            while self._wake_read.recv(4096):
                pass
        except BlockingIOError:
            return

    def _receive(self, opened: "zmq.Socket[bytes]", reader: Reader) -> None:
        while True:
            try:
                frames = opened.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.heard_at = time.monotonic()
            try:
                message, buffers = reader.read(frames)
            except WireError as error:
                self._listener.garbled(error)
                return
            self._guarded(partial(self._listener.heard, message, buffers))

    def _guarded(self, call: Callable[[], None]) -> None:
        """Whatever goes wrong with one message, the thread goes on: without it every job would wait for ever."""
        try:
            call()
        except Exception as error:
            log.exception("a message could not be handled")
            self._listener.failed(error)
