"""The processes of a group on this host: one for each rank, started together and ended together."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import zmq
from msgspec import structs

from ..launch.config import GroupConfig, Place, encode

#: The exit status of a process that must not be started again: its model cannot be served.
CANNOT_SERVE = 3
#: What a process says on its output.
SERVING, REFUSED = b"serving", b"refused "
_LAST_WORDS_SECONDS = 2.0


class Children:
    """`served` is whether the first of them has said since the last start that it serves; `refusal` why one cannot serve the model, where
    it is not rank 0, which tells the broker."""

    def __init__(self, config: GroupConfig, poller: zmq.Poller) -> None:
        self._config, self._poller = config, poller
        self._processes: list[subprocess.Popen[bytes]] = []
        self._begun: dict[int, bytes] = {}
        self.served, self.refusal = False, ""

    def __bool__(self) -> bool:
        return bool(self._processes)

    @property
    def pid(self) -> int:
        """That of the first, 0 if there is none."""
        return self._processes[0].pid if self._processes else 0

    @property
    def ended(self) -> bool:
        """Whether one of them has ended."""
        return any(process.poll() is not None for process in self._processes)

    def start(self, places: Sequence[Place]) -> None:
        """Start one in each place."""
        self.served, self.refusal = False, ""
        self._begun.clear()
        command = [sys.executable, "-m", "interp_magics", "worker", "--process"]
        for place in places:
            given = () if place.listener is None else (place.listener,)
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, pass_fds=given
            )
            self._processes.append(process)
            assert process.stdin is not None and process.stdout is not None
            self._poller.register(process.stdout.fileno(), zmq.POLLIN)
            process.stdin.write(encode(structs.replace(self._config, place=place)))
            process.stdin.flush()

    def hear(self, ready: Mapping[Any, int]) -> None:
        """A process says in one line that it serves, or why it cannot, whatever else is printed; its output ends with it."""
        for number, output in enumerate([p.stdout.fileno() for p in self._processes if p.stdout]):
            if output not in ready:
                continue
            if said := os.read(output, 4096):
                self._told(number, said)
            else:
                self._poller.unregister(output)

    def _told(self, number: int, said: bytes) -> None:
        *lines, self._begun[number] = (self._begun.get(number, b"") + said).split(b"\n")
        for line in lines:
            if line == SERVING:
                self.served = self.served or number == 0
            elif line.startswith(REFUSED):
                self.refusal = line.removeprefix(REFUSED).decode(errors="replace")

    def last_words(self) -> list[int | None]:
        """The status of each that has ended, or does when another has: all ranks refuse a model for one reason."""
        until = time.monotonic() + (0.0 if self.served else _LAST_WORDS_SECONDS)
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
        self._drain()
        return [process.poll() for process in self._processes]

    def _drain(self) -> None:
        """What they said before they ended may not have been read."""
        for number, process in enumerate(self._processes):
            if process.stdout is not None and select.select([process.stdout], [], [], 0)[0]:
                self._told(number, os.read(process.stdout.fileno(), 4096))

    def interrupt(self) -> None:
        """Kill them, and let it be seen that they have ended."""
        for process in self._processes:
            process.kill()

    def end(self) -> None:
        """Kill them, and forget them."""
        self.interrupt()
        for process in self._processes:
            process.wait()
            if process.stdout is not None:
                with suppress(KeyError):
                    self._poller.unregister(process.stdout.fileno())
                process.stdout.close()
        self._processes.clear()
