"""The nanny on every host of a group but the first: runs there what the first host says, and says what runs.

It never speaks with the broker. When the first host is lost it ends what runs and waits for it, or another with its name, to come.
"""

import logging
import time
from typing import Literal

import zmq

from ..errors import RequestError
from ..launch.config import GroupConfig, Place
from .children import CANNOT_SERVE, Children
from .meeting import Course, Seat, ranks_of
from .nanny import BEAT_SECONDS

log = logging.getLogger(__name__)


class Outpost:
    """Runs until it is told to stop and what runs has ended."""

    def __init__(self, config: GroupConfig) -> None:
        """Raises RequestError when the first host's address leads nowhere."""
        self._config, self._stops = config, 0
        self._context = zmq.Context()
        self._seat = Seat(config, self._context)
        self._poller = zmq.Poller()
        self._poller.register(self._seat.socket, zmq.POLLIN)
        self._children = Children(config, self._poller)
        self._generation = 0
        self._refused = ""
        self._said: tuple[object, ...] = ()
        self._next = 0.0
        self._noted = ""

    def run(self) -> None:
        """Raises RequestError when the first host has no place for this one."""
        try:
            while True:
                self._say()
                if self._over():
                    return
                ready = dict(self._poller.poll(max(0, int(1000 * (self._next - time.monotonic())))))
                self._seat.hear()
                self._children.hear(ready)
                self._follow()
        finally:
            self._children.end()
            self._seat.close()
            self._context.term()

    def stop(self) -> None:
        """End when the jobs that run have ended, or asked again at once; safe in a signal handler."""
        self._stops += 1

    def _say(self) -> None:
        """By the clock, and when it is new."""
        now, state = time.monotonic(), (self._generation, self._state, self._refused, self._stops > 0)
        if state != self._said or now >= self._next:
            self._said, self._next = state, now + BEAT_SECONDS
            self._seat.say(*state)

    @property
    def _state(self) -> Literal["idle", "running", "ended"]:
        if not self._generation:
            return "idle"
        return "running" if self._children and not self._children.ended else "ended"

    def _over(self) -> bool:
        """Whether it has been told to stop, or its group has, and it may."""
        course = self._seat.course
        if self._stops == 1 or (course is not None and course.leaving):
            return self._state != "running" or course is None
        return self._stops > 1

    def _follow(self) -> None:
        """Do what the first host says; a start that has ended here is not begun again."""
        course = self._seat.course
        self._note(course)
        if course is not None and course.refused:
            raise RequestError(course.refused)
        wanted = 0 if course is None else course.generation
        if self._state == "ended" and self._children:
            refused = CANNOT_SERVE in self._children.last_words()
            self._refused = (self._children.refusal or "see the worker's log there") if refused else ""
            log.warning("the worker processes of %s ended here", self._config.group)
            self._children.end()
        if wanted == self._generation:
            return
        self._refused = self._refused or self._children.refusal
        self._children.end()
        self._generation = wanted
        if course is not None and wanted:
            self._refused = ""
            self._start(course)

    def _start(self, course: Course) -> None:
        node, here = self._config.nodes.node_rank, ranks_of(self._config)
        self._children.start(
            [
                Place(
                    rank=rank,
                    local_rank=rank - here.start,
                    node_rank=node,
                    rendezvous=course.rendezvous,
                    interface=self._seat.interface,
                    address=self._seat.address,
                )
                for rank in here
            ]
        )

    def _note(self, course: Course | None) -> None:
        """Say once why nothing runs here."""
        where = f"{self._config.nodes.master_addr}:{self._config.nodes.master_port}"
        why = f"the first host is not heard at {where}; waiting for it" if course is None else course.waiting
        if why and why != self._noted:
            log.warning("%s", why)
        self._noted = why
