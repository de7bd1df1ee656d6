"""The worker process's socket to the broker, read between two steps of the model: no thread, nothing to lock."""

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import zmq
from msgspec import structs

from ..launch.config import GroupConfig
from ..program.cards import ModelCard
from ..wire.frames import Reader, WireError, write, write_bytes
from ..wire.keys import KeyPair, notice_silence, use_client_keys
from ..wire.messages import Assign, Attempt, Chunk, Done, Drain, Failed, Failure, Get, Ready, Stop, ToWorker
from ..wire.standing import Device

_READY_SECONDS = 2.0
_OBJECT_SECONDS = 30.0


class ObjectMissing(Exception):
    """The broker no longer has an object that a job names."""


class Link:
    """What has been assigned, what has been cancelled, and a way to send."""

    def __init__(
        self,
        config: GroupConfig,
        card: ModelCard,
        devices: Callable[[], tuple[Device, ...]] = lambda: (),
        figures: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """`devices` tells what memory is in use, `figures` what the engine says of itself."""
        self._devices, self._figures = devices, figures
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.routing_id = secrets.token_bytes(16)
        use_client_keys(self._socket, KeyPair.of(config.secret_key.encode()), config.server_key.encode())
        notice_silence(self._socket)
        self._socket.linger = 1000
        self._socket.connect(config.endpoint)
        self.epoch = secrets.token_hex(8)
        self._ready = Ready(group=config.group, epoch=self.epoch, card=card)
        self._reader = Reader(ToWorker)
        self._next_ready = 0.0
        self.assigned: deque[Assign] = deque()
        self._has: dict[tuple[str, int], Attempt] = {}
        self._stopped: set[tuple[str, int]] = set()
        self.draining = False
        self._objects: dict[str, bytes | None] = {}

    def pump(self, wait: float = 0.0) -> None:
        """Take in what has come; wait up to `wait` seconds for the first message."""
        now = time.monotonic()
        if now >= self._next_ready:
            self._next_ready = now + _READY_SECONDS
            has, figures = tuple(self._has.values()), dict(self._figures())
            self.send(structs.replace(self._ready, has=has, devices=self._devices(), figures=figures))
        if wait:
            self._socket.poll(int(wait * 1000))
        for frames in self._waiting():
            try:
                message, buffers = self._reader.read(frames)
            except WireError:
                continue
            self._take(message, buffers)

    def object(self, digest: str, job: str) -> bytes:
        """A stored object, asked of the broker. Raises ObjectMissing."""
        self._objects.pop(digest, None)
        self.send(Get(digest=digest, job=job))
        deadline = time.monotonic() + _OBJECT_SECONDS
        while digest not in self._objects and time.monotonic() < deadline:
            self.pump(0.5)
        data = self._objects.pop(digest, None)
        if data is None:
            raise ObjectMissing(digest)
        return data

    def stopped(self, assign: Assign) -> bool:
        """Whether the broker has asked to leave this attempt."""
        return (assign.job, assign.attempt) in self._stopped

    def send(self, message: Any, payload: bytes | None = None) -> None:
        if isinstance(message, Done | Failed):
            self._has.pop((message.job, message.attempt), None)
            self._stopped.discard((message.job, message.attempt))
        self._socket.send_multipart(write(message) if payload is None else write_bytes(message, payload))

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def _waiting(self) -> Iterator[list[bytes]]:
        while True:
            try:
                yield self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return

    def _take(self, message: ToWorker, buffers: list[Any]) -> None:
        if isinstance(message, Assign):
            self._has[message.job, message.attempt] = Attempt(message.job, message.attempt)
            self.assigned.append(message)
        elif isinstance(message, Stop):
            if (message.job, message.attempt) in self._has:
                self._stopped.add((message.job, message.attempt))
        elif isinstance(message, Chunk):
            self._objects[message.digest] = bytes(buffers[0])
        elif isinstance(message, Failure) and message.digest:
            self._objects[message.digest] = None
        elif isinstance(message, Drain):
            self.draining = True
