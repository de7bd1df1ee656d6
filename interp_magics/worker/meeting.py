"""How the hosts of one group agree on when their processes run: each says what runs there, the first says what is to run.

Nothing is asked and answered: both sides tell their state again and again, so that a message, a process or a host that is lost
changes what is told next and nothing else. A start of all processes has a number (`generation`) that is never used again.
"""

import logging
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
from ..wire.keys import KeyPair, use_client_keys, use_server_keys

#: A host that says nothing for so long is lost.
LOST_SECONDS = 5.0
_DOMAIN = "worker"

log = logging.getLogger(__name__)


class Present(Sent, frozen=True, tag="present"):
    """Host `node_rank` lives. Its processes of `generation` (0: none) run or have `ended`, `refused` when they cannot serve the model;
    it is `leaving` when it was told to end."""

    node_rank: int
    nnodes: int
    model: ModelSpec
    version: str
    generation: int = 0
    state: Literal["idle", "running", "ended"] = "idle"
    refused: bool = False
    leaving: bool = False


class Course(Sent, frozen=True, tag="course"):
    """What is to run: the processes of `generation`, which meet at `rendezvous`; 0 is none. `refused` says why a host is not taken."""

    generation: int = 0
    rendezvous: str = ""
    refused: str = ""


def interface_to(host: str) -> tuple[str, str]:
    """(name, address) of this host's interface on which `host` is reached. Raises RequestError."""
    try:
        family, *_, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            own = str(probe.getsockname()[0])
    except OSError as error:
        raise RequestError(f"the address {host!r} of the first host cannot be reached: {error}") from None
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address.partition("%")[0] == own for each in addresses):
            return name, own
    raise RequestError(f"no interface of this host has the address {own}, by which {host!r} is reached")


def nowhere(model: ModelSpec) -> ModelSpec:
    """A model without where it is loaded from, which is each host's own matter."""
    return structs.replace(model, path="", max_memory=None)


@dataclass
class _Seen:
    """What a host said last, and when."""

    present: Present
    route: bytes
    at: float
    #: Whether it has begun what is to run.
    joined: bool = False


class Meeting:
    """The first host's side. `course` is what the others are told."""

    def __init__(self, config: GroupConfig, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        """Raises RequestError when nobody could reach it at its address."""
        self._config, self.course = config, Course()
        self._others: dict[int, _Seen] = {}
        self._reader = Reader(Present)
        nodes, keys = config.nodes, KeyPair.of(config.secret_key.encode())
        _, self.address = interface_to(nodes.master_addr)
        self._door = ThreadAuthenticator(context)
        self._door.start()
        self._door.configure_curve_callback(_DOMAIN, _Only(keys.public))
        self.socket = context.socket(zmq.ROUTER)
        use_server_keys(self.socket, keys, _DOMAIN.encode())
        self.socket.linger, self.socket.maxmsgsize, self.socket.ipv6 = 200, 1 << 16, ":" in self.address
        try:
            self.socket.bind(_endpoint(self.address, nodes.master_port))
        except zmq.ZMQError as error:
            self.close()
            raise RequestError(
                f"{nodes.master_addr}:{nodes.master_port} cannot be listened on ({error}): --master-addr is an address of this, the "
                "first host, and --master-port free here"
            ) from None

    def hear(self) -> None:
        """Take in what the others say, and tell each the course."""
        for route, present in self._waiting():
            refused = self._refusal(present)
            if refused:
                self._tell(route, Course(refused=refused))
                continue
            if self._taken(route, present):
                self._tell(route, self.course)

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
        """Whether what is to run has ended somewhere, or a host is lost."""
        return bool(self.absent) or any(self._left(seen) for seen in self._others.values())

    @property
    def refused(self) -> bool:
        """Whether a process of another host said that the model cannot be served."""
        return any(seen.present.refused for seen in self._others.values())

    @property
    def leaving(self) -> bool:
        """Whether another host was told to end."""
        return any(seen.present.leaving for seen in self._others.values())

    def begin(self, rendezvous: str) -> None:
        """Let all start anew."""
        for seen in self._others.values():
            seen.joined = False
        self.course = Course(generation=time.time_ns(), rendezvous=rendezvous)

    def stop(self) -> None:
        """Let nothing run."""
        self.course = Course()

    def close(self) -> None:
        self.socket.close()
        self._door.stop()

    def _taken(self, route: bytes, present: Present) -> bool:
        """Note what a host says, unless its number is that of another which lives."""
        now, number = time.monotonic(), present.node_rank
        before = self._others.get(number)
        if before is not None and before.route != route and now - before.at < LOST_SECONDS:
            log.warning("a second host says that it is number %d; it waits until the other is gone", number)
            return False
        joined = before is not None and before.joined and before.route == route
        here = present.generation == self.course.generation != 0
        self._others[number] = _Seen(present, route, now, joined or here)
        return True

    def _left(self, seen: _Seen) -> bool:
        """Whether what a host had begun runs there no more."""
        return seen.joined and (seen.present.generation != self.course.generation or seen.present.state == "ended")

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
                with suppress(WireError):
                    yield route, self._reader.read(frames)[0]

    def _tell(self, route: bytes, course: Course) -> None:
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
        self.interface, own = interface_to(nodes.master_addr)
        self.socket = context.socket(zmq.DEALER)
        use_client_keys(self.socket, keys, keys.public)
        self.socket.linger, self.socket.maxmsgsize, self.socket.sndhwm = 200, 1 << 16, 4
        self.socket.ipv6 = ":" in own
        self.socket.connect(_endpoint(nodes.master_addr, nodes.master_port))

    @property
    def course(self) -> Course | None:
        return self._course if time.monotonic() - self._heard < LOST_SECONDS else None

    def say(self, generation: int, state: Literal["idle", "running", "ended"], refused: bool, leaving: bool) -> None:
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
                with suppress(WireError):
                    self._course, _ = self._reader.read(frames)
                    self._heard = time.monotonic()

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
