"""How the hosts of one group agree on when their processes run: each says what runs there, the first says what is to run.

Nothing is asked and answered: both sides tell their state by the clock, so that a message, a process or a host that is lost
changes what is told next and nothing else. A start of all processes has a number (`generation`) that is never used again.
"""

import logging
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import psutil
import zmq
from msgspec import structs
from zmq.auth.thread import ThreadAuthenticator

from .. import __version__
from ..errors import RequestError
from ..launch.config import GroupConfig, ModelSpec
from ..wire.fields import Sent
from ..wire.frames import Reader, WireError, write
from ..wire.keys import KeyPair, notice_silence, use_client_keys, use_server_keys

#: A host that says nothing for so long is lost.
LOST_SECONDS = 5.0
_DOMAIN = "worker"

log = logging.getLogger(__name__)


class Present(Sent, frozen=True, tag="present"):
    """Host `node_rank` lives. Its processes of `generation` (0: none) run or have `ended`; `refused` says why they cannot serve the
    model; it is `leaving` when it was told to end."""

    node_rank: int
    nnodes: int
    model: ModelSpec
    version: str
    generation: int = 0
    state: Literal["idle", "running", "ended"] = "idle"
    refused: str = ""
    leaving: bool = False


class Course(Sent, frozen=True, tag="course"):
    """What is to run: the processes of `generation`, which meet at `rendezvous`; 0 is none. `refused` says why a host is not taken,
    `waiting` why not yet; the group is `leaving` when it was told to end."""

    generation: int = 0
    rendezvous: str = ""
    refused: str = ""
    waiting: str = ""
    leaving: bool = False


def interface_to(host: str) -> tuple[str, str]:
    """(name, address) of this host's interface on which `host` is reached. Raises RequestError."""
    try:
        family, *_, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            own = _plain(str(probe.getsockname()[0]))
    except OSError as error:
        raise RequestError(f"the address {host!r} of the first host cannot be reached: {error}") from None
    for name, addresses in psutil.net_if_addrs().items():
        if any(_plain(each.address) == own for each in addresses):
            return name, own
    raise RequestError(f"no interface of this host has the address {own}, by which {host!r} is reached")


def own_interface(host: str) -> tuple[str, str]:
    """(name, address) of the interface of this host that has the address `host`. Raises RequestError."""
    name, own = interface_to(host)
    meant = _plain(str(socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0][4][0]))
    if meant != own:
        raise RequestError(
            f"{host!r} is {meant} here, and no address by which others reach this host: --master-addr is an address of the host "
            "that is started with --node-rank 0, and no other is (a host's own name may be a loopback address in its /etc/hosts)"
        )
    return name, own


def _plain(address: str) -> str:
    return address.partition("%")[0]


def nowhere(model: ModelSpec) -> ModelSpec:
    """A model without where it is loaded from, which is each host's own matter."""
    return structs.replace(model, path="", max_memory=None)


@dataclass
class _Seen:
    """What a host said last, by which route, and when; whether it has begun what is to run."""

    present: Present
    route: bytes
    at: float
    joined: bool = False


class Meeting:
    """The first host's side. `course` is what the others are told, `interface` and `address` where."""

    def __init__(self, config: GroupConfig, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        """Raises RequestError when nobody could reach it at its address."""
        self._config, self.course = config, Course()
        self._others: dict[int, _Seen] = {}
        #: By which route each host was reached when what is to run began.
        self._begun: dict[int, bytes] = {}
        #: Whether since then a host was lost, or came anew.
        self.lost = False
        #: What hosts that have no place, or none yet, are told.
        self._apart: dict[bytes, Course] = {}
        self._reader = Reader(Present)
        nodes, keys = config.nodes, KeyPair.of(config.secret_key.encode())
        self.interface, self.address = own_interface(nodes.master_addr)
        self._door = ThreadAuthenticator(context)
        self._door.start()
        self._door.configure_curve_callback(_DOMAIN, _Only(keys.public))
        self.socket = context.socket(zmq.ROUTER)
        use_server_keys(self.socket, keys, _DOMAIN.encode())
        notice_silence(self.socket)
        # A host that connects anew is the same host.
        self.socket.router_handover = True
        self.socket.linger, self.socket.maxmsgsize, self.socket.ipv6 = 200, 1 << 16, ":" in self.address
        try:
            self.socket.bind(_endpoint(self.address, nodes.master_port))
        except zmq.ZMQError as error:
            self.close()
            raise RequestError(
                f"{nodes.master_addr}:{nodes.master_port} cannot be listened on ({error}): --master-port must be free on the first host"
            ) from None

    def hear(self) -> None:
        """Take in what the others say."""
        for route, present in self._waiting():
            if apart := self._turned_away(route, present):
                self._apart[route] = apart
                continue
            self._apart.pop(route, None)
            before = self._others.get(present.node_rank)
            here = present.generation == self.course.generation != 0
            joined = here or (before is not None and before.joined)
            self._others[present.node_rank] = _Seen(present, route, time.monotonic(), joined)
        if self._begun:
            self.lost = self.lost or bool(self.absent) or any(map(self._anew, self._others))

    def tell(self) -> None:
        """Tell each the course."""
        for seen in self._others.values():
            self._send(seen.route, self.course)
        for route, course in self._apart.items():
            self._send(route, course)
        self._apart.clear()

    @property
    def absent(self) -> list[int]:
        """Numbers of the hosts that have not come, or are lost."""
        since = time.monotonic() - LOST_SECONDS
        numbers = range(1, self._config.nodes.nnodes)
        return [n for n in numbers if n not in self._others or self._others[n].at < since]

    @property
    def free(self) -> bool:
        """Whether all are there, and nothing runs on them."""
        return not self.absent and all(seen.present.generation == 0 for seen in self._others.values())

    @property
    def broken(self) -> bool:
        """Whether what is to run has ended somewhere, or a host is lost, or came anew."""
        return bool(self.absent) or any(self._left(number, seen) for number, seen in self._others.items())

    def known(self, since: float) -> bool:
        """Whether it is known what has become of the other hosts since then, when nothing was to run any more."""
        here = (seen.at > since and seen.present.generation == 0 for seen in self._others.values())
        return bool(self.absent) or all(here)

    @property
    def refusal(self) -> str:
        """Why another host's process cannot serve the model."""
        told = (f"on host {n}: {seen.present.refused}" for n, seen in self._others.items() if seen.present.refused)
        return next(told, "")

    @property
    def leaving(self) -> bool:
        """Whether another host was told to end."""
        return any(seen.present.leaving for seen in self._others.values())

    def begin(self, rendezvous: str) -> None:
        """Let all start anew."""
        self._begun = {number: seen.route for number, seen in self._others.items()}
        self.lost = False
        for seen in self._others.values():
            seen.joined = False
        self.course = Course(generation=time.time_ns(), rendezvous=rendezvous)

    def stop(self, leaving: bool = False) -> None:
        """Let nothing run; for good, if the group is `leaving`."""
        self.course = Course(leaving=leaving)

    def close(self) -> None:
        self.socket.close()
        self._door.stop()

    def _left(self, number: int, seen: _Seen) -> bool:
        """Whether what a host had begun runs there no more."""
        if not self.course.generation:
            return False
        ended = seen.present.generation != self.course.generation or seen.present.state == "ended"
        return self._anew(number) or (seen.joined and ended)

    def _anew(self, number: int) -> bool:
        return self._begun.get(number) != self._others[number].route

    def _turned_away(self, route: bytes, present: Present) -> Course | None:
        """What a host is told that has no place here, or none yet."""
        if refused := self._refusal(present):
            return Course(refused=refused)
        before, number = self._others.get(present.node_rank), present.node_rank
        if before is None or before.route == route or time.monotonic() - before.at > LOST_SECONDS:
            return None
        return Course(waiting=f"another host is number {number} now; this one waits until that is gone")

    def _refusal(self, present: Present) -> str:
        nodes, model = self._config.nodes, nowhere(self._config.model)
        if present.version != __version__:
            return f"the first host runs interp-magics {__version__}, this one {present.version}; install one version on both"
        if present.nnodes != nodes.nnodes or not 0 < present.node_rank < nodes.nnodes:
            asked = f"--node-rank {present.node_rank} of --nnodes {present.nnodes}"
            return f"the first host was started with --nnodes {nodes.nnodes}, and has no place for {asked}"
        if present.model != model:
            different = [n for n in model.__struct_fields__ if getattr(model, n) != getattr(present.model, n)]
            here, there = ([f"{n}={getattr(m, n)!r}" for n in different] for m in (present.model, model))
            return f"this host was started with {', '.join(here)}, the first with {', '.join(there)}; start both alike"
        return ""

    def _waiting(self) -> Iterator[tuple[bytes, Present]]:
        with suppress(zmq.Again):
            while True:
                route, *frames = self.socket.recv_multipart(zmq.NOBLOCK)
                try:
                    yield route, self._reader.read(frames)[0]
                except WireError as error:
                    log.warning("a host said what is not understood here (is it of another version?): %s", error)

    def _send(self, route: bytes, course: Course) -> None:
        with suppress(zmq.Again):
            self.socket.send_multipart([route, *write(course)], zmq.NOBLOCK)


class Seat:
    """Another host's side: `course` is what it was told last, None while the first host is not heard."""

    def __init__(self, config: GroupConfig, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        """Raises RequestError when the first host's address leads nowhere."""
        self._config = config
        self._course, self._heard = Course(), float("-inf")
        self._reader = Reader(Course)
        keys, nodes = KeyPair.of(config.secret_key.encode()), config.nodes
        self.interface, self.address = interface_to(nodes.master_addr)
        self.socket = context.socket(zmq.DEALER)
        use_client_keys(self.socket, keys, keys.public)
        notice_silence(self.socket)
        # What begins with a zero byte names a connection, not a host.
        self.socket.routing_id = b"\1" + secrets.token_bytes(16)
        self.socket.linger, self.socket.maxmsgsize, self.socket.sndhwm = 200, 1 << 16, 4
        self.socket.ipv6 = ":" in self.address
        self.socket.connect(_endpoint(nodes.master_addr, nodes.master_port))

    @property
    def course(self) -> Course | None:
        return self._course if time.monotonic() - self._heard < LOST_SECONDS else None

    def say(self, generation: int, state: Literal["idle", "running", "ended"], refused: str, leaving: bool) -> None:
        """Tell the first host what runs here."""
        nodes = self._config.nodes
        present = Present(
            node_rank=nodes.node_rank,
            nnodes=nodes.nnodes,
            model=nowhere(self._config.model),
            version=__version__,
            generation=generation,
            state=state,
            refused=refused,
            leaving=leaving,
        )
        with suppress(zmq.Again):
            self.socket.send_multipart(write(present), zmq.NOBLOCK)

    def hear(self) -> None:
        """Take in what the first host says."""
        with suppress(zmq.Again):
            while True:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
                try:
                    self._course, _ = self._reader.read(frames)
                    self._heard = time.monotonic()
                except WireError as error:
                    log.warning(
                        "the first host says what is not understood here (is it of another version?): %s", error
                    )

    def close(self) -> None:
        self.socket.close()


class _Only:
    """Lets one key in: who holds the pool's file for workers is a worker."""

    def __init__(self, public: bytes) -> None:
        self._public = public

    def callback(self, domain: str, key: bytes) -> bool:
        """Called by pyzmq with a key in z85."""
        return key == self._public


def listening(address: str) -> socket.socket:
    """A socket that listens at one address, on a port that is free."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.bind((address, 0))
    made.listen()
    return made


def ranks_of(config: GroupConfig) -> range:
    """The ranks that are on this host."""
    each = config.model.ranks // config.nodes.nnodes
    return range(config.nodes.node_rank * each, (config.nodes.node_rank + 1) * each)


def _endpoint(host: str, port: int) -> str:
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
