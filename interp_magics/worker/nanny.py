"""The nanny of a worker group: says that the group lives, restarts its processes, ends when its own parent does.

It holds no model and takes no jobs, so a kernel that runs for minutes never makes a group look dead. Of a group that is spread over
hosts this is the first host's; `outpost` is that of the others.
"""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import zmq
from msgspec import structs

from ..launch.config import GroupConfig, Place
from ..wire.frames import Reader, WireError, write
from ..wire.keys import KeyPair, notice_silence, use_client_keys
from ..wire.messages import Beat, Restart, ToNanny
from .children import CANNOT_SERVE, Children
from .meeting import Meeting, listening, ranks_of

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.5
#: How often a process may die before it has served at all; later deaths are a job's doing and are always followed by a start.
_DEATHS_AT_START = 3


@dataclass(frozen=True)
class _Death:
    """When all processes here were ended, whether they had `served`, whether one `refused` the model, and what it said."""

    at: float
    served: bool
    refused: bool
    refusal: str


class Nanny:
    """Runs until `lifeline` (its standard input) ends; or without one until it is told to stop, and what runs has ended."""

    def __init__(self, config: GroupConfig, lifeline: BinaryIO | None) -> None:
        self._config, self._lifeline, self._stops = config, lifeline, 0
        self._context = zmq.Context()
        self._meeting = Meeting(config, self._context) if config.nodes.nnodes > 1 else None
        self._socket = self._context.socket(zmq.DEALER)
        use_client_keys(self._socket, KeyPair.of(config.secret_key.encode()), config.server_key.encode())
        notice_silence(self._socket)
        self._socket.linger = 200
        self._socket.connect(config.endpoint)
        self._poller, self._reader = zmq.Poller(), Reader(ToNanny)
        self._children = Children(config, self._poller)
        self._deaths = 0
        self._death: _Death | None = None
        self._failed = False
        self._directory = Path(tempfile.mkdtemp(prefix="interp-ranks-"))
        self._next = 0.0
        self._said = ("", "", "")

    def run(self) -> None:
        self._poller.register(self._socket, zmq.POLLIN)
        if self._lifeline is not None:
            self._poller.register(self._lifeline, zmq.POLLIN)
        if self._meeting is not None:
            self._poller.register(self._meeting.socket, zmq.POLLIN)
        try:
            while True:
                self._watch()
                ready = dict(self._poller.poll(max(0, int(1000 * (self._next - time.monotonic())))))
                if self._left() or (self._lifeline and _ended(self._lifeline, ready)):
                    return
                if self._socket in ready:
                    self._obey()
                self._children.hear(ready)
        finally:
            self._close()

    def stop(self) -> None:
        """End when the jobs that run have ended, or asked again at once; safe in a signal handler."""
        self._stops += 1

    def _left(self) -> bool:
        """Whether it has been told to stop, and may."""
        if self._meeting is not None and self._meeting.leaving and not self._stops:
            self.stop()
        if not self._stops:
            return False
        over = self._stops > 1 or not self._children.served or self._broken
        if over and self._meeting is not None:
            self._meeting.stop(leaving=True)
        self._say("down" if over else "leaving")
        return over

    def _obey(self) -> None:
        """The broker wants the processes killed; the next look starts them anew."""
        with suppress(WireError, zmq.Again):
            while True:
                message, _ = self._reader.read(self._socket.recv_multipart(zmq.NOBLOCK))
                if isinstance(message, Restart):
                    log.warning("the broker has the processes of %s started anew", self._config.group)
                    self._children.interrupt()

    @property
    def _broken(self) -> bool:
        return self._children.ended or (self._meeting is not None and self._meeting.broken)

    def _watch(self) -> None:
        if self._meeting is not None:
            self._meeting.hear()
        if self._stops:
            return
        if self._children and self._broken:
            self._end()
        if self._death is not None and (self._meeting is None or self._meeting.known(self._death.at)):
            self._judge(self._death)
        over = self._children or self._failed or self._death is not None
        if not over and (self._meeting is None or self._meeting.free):
            self._start()
        self._say("failed" if self._failed else "alive")

    def _awaited(self) -> str:
        """Why nothing runs yet, where other hosts are why."""
        if self._meeting is None or self._children or self._failed:
            return ""
        absent = self._meeting.absent
        return f"it waits for its other hosts: --node-rank {', '.join(map(str, absent))}" if absent else ""

    def _start(self) -> None:
        """One process for each rank that is here. They meet anew each time, where nobody has met before."""
        if self._meeting is None:
            self._start_at(Place(rendezvous=self._unused_file()))
            return
        try:
            listener = listening(self._meeting.address)
        except OSError as error:
            log.warning("%s cannot be listened on (%s); tried again", self._meeting.address, error)
            return
        with listener:
            rendezvous = f"{self._meeting.address}:{listener.getsockname()[1]}"
            self._meeting.begin(rendezvous)
            interface, address = self._meeting.interface, self._meeting.address
            self._start_at(
                Place(rendezvous=rendezvous, listener=listener.fileno(), interface=interface, address=address)
            )

    def _start_at(self, first: Place) -> None:
        """Rank 0 in its place, the others of this host beside it."""
        others = structs.replace(first, listener=None)
        places = [structs.replace(others, rank=rank, local_rank=rank) for rank in ranks_of(self._config)]
        self._children.start([first, *places[1:]])

    def _unused_file(self) -> str:
        handle, name = tempfile.mkstemp(dir=self._directory)
        os.close(handle)
        os.unlink(name)
        return name

    def _end(self) -> None:
        """One rank has ended, so all must: what they share is lost."""
        served, statuses = self._children.served, self._children.last_words()
        log.warning("the worker processes of %s ended with status %s", self._config.group, statuses)
        self._death = _Death(time.monotonic(), served, CANNOT_SERVE in statuses, self._children.refusal)
        self._children.end()
        if self._meeting is not None:
            self._meeting.stop()

    def _judge(self, death: "_Death") -> None:
        """What it means, now that it is known how the other hosts are."""
        self._death = None
        lost = self._meeting is not None and self._meeting.lost
        elsewhere = "" if self._meeting is None else self._meeting.refusal
        if not lost:
            self._deaths = 0 if death.served else self._deaths + 1
        if death.refused or elsewhere:
            self._failed = True
            self._say("failed", death.refusal or elsewhere)
        elif self._deaths >= _DEATHS_AT_START:
            self._failed = True
            self._say("failed", f"its worker process died {self._deaths} times before it served; see the worker's log")
        else:
            self._say("down", blameless=lost)

    def _say(
        self, state: Literal["alive", "leaving", "down", "failed"], trouble: str = "", blameless: bool = False
    ) -> None:
        """By the clock, and when it is new."""
        now, awaited = time.monotonic(), self._awaited()
        if (said := (state, trouble, awaited)) == self._said and now < self._next:
            return
        self._said, self._next = said, now + BEAT_SECONDS
        if self._meeting is not None:
            self._meeting.tell()
        beat = Beat(
            group=self._config.group,
            model=self._config.model.name,
            state=state,
            trouble=trouble,
            awaited=awaited,
            blameless=blameless,
            pid=self._children.pid,
        )
        try:
            self._socket.send_multipart(write(beat), zmq.NOBLOCK)
        except zmq.Again:
            log.warning("the broker does not take beats")

    def _close(self) -> None:
        self._children.end()
        shutil.rmtree(self._directory, ignore_errors=True)
        self._socket.close()
        if self._meeting is not None:
            self._meeting.close()
        self._context.term()


def _ended(lifeline: BinaryIO, ready: Mapping[Any, int]) -> bool:
    return lifeline.fileno() in ready and not os.read(lifeline.fileno(), 4096)
