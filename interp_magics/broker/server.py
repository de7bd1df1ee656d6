"""The broker's process: its endpoints, one loop. One bad peer never ends it."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import msgspec
import zmq

from ..errors import PoolUnavailable
from ..wire.frames import MAX_CLIENT_HEADER, Reader, WireError
from ..wire.keys import KeyPair, use_server_keys
from ..wire.messages import FromClient, FromWorker
from ..wire.standing import Limits
from .access import Access
from .admission import CLIENT, WORKER, Admission, Key
from .audit import Audit
from .book import Book
from .clients import Clients
from .corpora import Corpora
from .door import Door
from .fetching import Places
from .journal import Journal, JournalError
from .metrics import Metrics
from .outbox import Outbox, Route
from .rules import Rule, Rules
from .standing import Standing
from .store import Spool, open_stores
from .upkeep import Upkeep
from .workers import Workers

log = logging.getLogger(__name__)

_TICK = 0.25
_DRAIN_SECONDS = 0.1
#: Messages that may wait for one peer; on the bulk endpoint each may be a chunk of a result.
_MESSAGES, _BULK_MESSAGES = 1000, 64


class Settings(msgspec.Struct, frozen=True):
    """How a pool is set up. Ports of 0 are chosen by the system; in `directory`, its own, it keeps its journal and spool."""

    directory: Path
    models: tuple[str, ...]
    host: str = "127.0.0.1"
    client_port: int = 0
    worker_port: int = 0
    bulk_port: int = 0
    limits: Limits = Limits()
    rules: dict[str, Rule] = {}
    audit: Path | None = None
    audit_texts: bool = False
    patience: float = 5.0
    corpora: dict[str, str] = {}
    scrubbers: tuple[str, ...] = ()

    @property
    def spool(self) -> Path:
        """Where workers leave large results."""
        return self.directory / "spool"


@dataclass
class Keys:
    """The pool's own pair, and what other public keys (z85) stand for."""

    server: KeyPair
    admitted: dict[bytes, Key] = field(default_factory=dict)


class Server:
    """A broker that is bound and ready to run."""

    def __init__(self, settings: Settings, keys: Keys) -> None:
        self.settings = settings
        settings.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._journal = Journal(settings.directory / "journal.sqlite")
        self._context = zmq.Context()
        self.admission = Admission(self._context, keys.admitted)
        self._clients_socket = self._bind(CLIENT, settings.client_port, keys.server)
        self._bulk_socket = self._bind(CLIENT, settings.bulk_port, keys.server, _BULK_MESSAGES)
        self._workers_socket = self._bind(WORKER, settings.worker_port, keys.server)
        self.rules = Rules(settings.limits, settings.rules)
        for key in keys.admitted.values():
            self.rules.know(key.user, key.groups)
        self.book = Book(lambda user: self.rules.of(user).weight, lambda user: self.rules.of(user).running_rows)
        self.book.recall(self._journal.jobs(), time.monotonic())
        self._store, spool = open_stores(settings.spool, self._journal, self.rules)
        for held in spool.held():
            if held not in self.book.jobs:
                spool.release(held)
        self._door = Door(settings.directory)
        self._out = Outbox(self._clients_socket, self._bulk_socket, self._workers_socket, self.admission.who)
        self.upkeep = Upkeep(self.book, self._out, settings.limits)
        self.workers = Workers(self.book, self._store, spool, self._out, self.rules, self.upkeep, settings.scrubbers)
        self.workers.sweep()
        self.metrics, self._audit = Metrics(), Audit(settings.audit, settings.audit_texts)
        self.clients = self._make_clients(spool)
        self.clients.adopt()
        self._read_client, self._read_worker = Reader(FromClient, MAX_CLIENT_HEADER), Reader(FromWorker)
        self._next_tick = 0.0
        self.turned = time.monotonic()

    def _make_clients(self, spool: Spool) -> Clients:
        access, epoch = Access(self.book), uuid4().hex
        corpora = Corpora(self.settings.corpora)
        self.standing = Standing(
            self.book, access, self._store, spool, self.rules, self.settings.models, corpora, epoch
        )
        return Clients(
            self.book,
            self._store,
            spool,
            self._out,
            self.settings.limits,
            self.rules,
            self.standing,
            access,
            self.workers,
            self.upkeep,
            Places(self._door, int(_endpoint(self._bulk_socket).rpartition(":")[2])),
            self._audit,
            corpora,
            epoch,
        )

    @property
    def client_endpoint(self) -> str:
        return _endpoint(self._clients_socket)

    @property
    def worker_endpoint(self) -> str:
        return _endpoint(self._workers_socket)

    def run(self, going: Callable[[], bool], wake: int | None = None) -> None:
        """Serve until `going()` is false; it is asked at every tick and when `wake` (a file descriptor) is readable."""
        poller = zmq.Poller()
        for socket in (self.admission.socket, self._clients_socket, self._bulk_socket, self._workers_socket):
            poller.register(socket, zmq.POLLIN)
        poller.register(self._door.fileno(), zmq.POLLIN)
        if wake is not None:
            poller.register(wake, zmq.POLLIN)
        while going():
            ready = dict(poller.poll(int(_TICK * 1000)))
            self.turned = time.monotonic()
            if self.admission.socket in ready:
                self._guarded(self.admission.answer)
            if self._workers_socket in ready:
                self._drain(self._workers_socket, self._from_worker)
            if self._clients_socket in ready:
                self._drain(self._clients_socket, partial(self._from_client, False))
            if self._bulk_socket in ready:
                self._drain(self._bulk_socket, partial(self._from_client, True))
            if self._door.fileno() in ready:
                self._guarded(self._door.answer)
            self._guarded(self._tick)
            self._guarded(self._say)
            self._guarded(self.workers.hand_out)
            self._guarded(self._say)

    def close(self) -> None:
        self._door.close()
        for socket in (self._clients_socket, self._bulk_socket, self._workers_socket):
            socket.close(linger=200)
        self.admission.close()
        self._context.term()
        self._journal.close()
        self._audit.close()

    def _bind(self, domain: bytes, port: int, keys: KeyPair, waiting: int = _MESSAGES) -> "zmq.Socket[bytes]":
        socket = self._context.socket(zmq.ROUTER)
        use_server_keys(socket, keys, domain)
        socket.router_mandatory = True
        socket.maxmsgsize = self.settings.limits.message_bytes
        socket.heartbeat_ivl, socket.heartbeat_timeout = 2000, 10000
        socket.sndhwm = waiting
        try:
            socket.bind(f"tcp://{self.settings.host}:{port or '*'}")
        except zmq.ZMQError as error:
            raise PoolUnavailable(
                f"port {port} of {self.settings.host} cannot be had ({error}); choose another"
            ) from None
        return socket

    def _drain(self, socket: "zmq.Socket[bytes]", handle: Callable[[bytes, str, list[bytes]], None]) -> None:
        """Handle what has come, but not for so long that the other socket is kept waiting."""
        until = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < until:
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            try:
                user = str(frames[-1].get("User-Id"))
                handle(frames[0].bytes, user, [frame.bytes for frame in frames[1:]])
            except Exception:
                log.exception("a message could not be handled")

    def _from_client(self, bulk: bool, peer: bytes, user: str, frames: list[bytes]) -> None:
        route = Route(bulk, peer, user)
        who = self.admission.who(user)
        if who is None:
            self.clients.dismiss(route)
            return
        try:
            message, buffers = self._read_client.read(frames)
        except WireError as error:
            self.clients.refuse(route, str(error))
            return
        self.clients.handle(route, who, message, buffers, len(frames[1]))

    def _from_worker(self, route: bytes, user: str, frames: list[bytes]) -> None:
        if self.admission.who(user) is None:
            return
        try:
            message, buffers = self._read_worker.read(frames)
        except WireError as error:
            log.warning("a worker sent what is not a message: %s", error)
            return
        self.workers.handle(route, message, buffers)

    def _guarded(self, act: Callable[[], None]) -> None:
        """One fault never ends the pool."""
        try:
            act()
        except Exception:
            log.exception("the broker could not finish %s", act.__name__)

    def _say(self) -> None:
        """Write down what has changed, and only then tell of it."""
        changes = self.book.changes()
        for number in changes.gone:
            self._journal.forget(number)
        for job in changes.fresh.values():
            self._journal.add(job)
        for job in changes.changed.values():
            group = self.book.groups.get(job.group)
            self._journal.update(job, group.epoch if group else "")
        for ended in changes.ended:
            self._audit.ended(ended)
            self.metrics.ended(ended)
        try:
            self._journal.commit()
            self.standing.trouble = ""
        except JournalError as error:
            if not self.standing.trouble:
                log.error("the journal cannot be written: %s", error)
            self.standing.trouble = str(error)
            self.clients.disown(list(changes.fresh.values()), str(error))
        for route in self._out.flush():
            self.workers.unreachable(route)

    def _tick(self) -> None:
        now = time.monotonic()
        if now < self._next_tick:
            return
        stalled = now - self._next_tick > 1.0
        self._next_tick = now + _TICK
        self._store.expire(now)
        self.clients.expire(now)
        self._door.expire()
        self.admission.expire()
        self.workers.expire(now)
        self.upkeep.restart_idle()
        self.metrics.observe(self.book, bool(self.standing.trouble), now)
        if stalled:
            return  # beats that came meanwhile are still unread: silence would be this loop's own
        for name in self.book.silent(now, self.settings.patience):
            self.workers.lost(name, "nothing was heard of it")
        self.upkeep.enforce(now)


def _endpoint(socket: "zmq.Socket[bytes]") -> str:
    name = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(name, bytes)
    return name.decode().rstrip("\0")
