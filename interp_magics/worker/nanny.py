"""The nanny of a worker group: says that the group lives, restarts its processes, ends when its own parent does.

It holds no model and takes no jobs, so a kernel that runs for minutes never makes a group look dead.
"""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal

import zmq
from msgspec import structs

from ..launch.config import GroupConfig, encode
from ..wire.frames import Reader, WireError, write
from ..wire.keys import KeyPair, use_client_keys
from ..wire.messages import Beat, Restart, ToNanny

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.5
#: The exit status of a process that must not be started again: its model cannot be served.
CANNOT_SERVE = 3
#: How often a process may die before it has served at all; later deaths are a job's doing and are always followed by a start.
_DEATHS_AT_START = 3
_LAST_WORDS_SECONDS = 2.0


class Nanny:
    """Runs until `lifeline` (its standard input) ends; or without one until it is told to stop, and what runs has ended."""

    def __init__(self, config: GroupConfig, lifeline: BinaryIO | None) -> None:
        self._config, self._lifeline, self._stops = config, lifeline, 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        use_client_keys(self._socket, KeyPair.of(config.secret_key.encode()), config.server_key.encode())
        self._socket.linger = 200
        self._socket.connect(config.endpoint)
        self._poller, self._reader = zmq.Poller(), Reader(ToNanny)
        self._deaths = 0
        self._served = False
        self._failed = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self._directory = Path(tempfile.mkdtemp(prefix="interp-ranks-"))

    def run(self) -> None:
        self._poller.register(self._socket, zmq.POLLIN)
        if self._lifeline is not None:
            self._poller.register(self._lifeline, zmq.POLLIN)
        try:
            while True:
                self._watch()
                ready = dict(self._poller.poll(int(BEAT_SECONDS * 1000)))
                if self._left() or (self._lifeline and _ended(self._lifeline, ready)):
                    return
                if self._socket in ready:
                    self._obey()
                for output in [p.stdout.fileno() for p in self._processes if p.stdout]:
                    if output in ready:
                        self._hear(output)
        finally:
            self._kill()
            shutil.rmtree(self._directory, ignore_errors=True)
            self._socket.close()
            self._context.term()

    def stop(self) -> None:
        """End when the jobs that run have ended, or asked again at once; safe in a signal handler."""
        self._stops += 1

    def _left(self) -> bool:
        """Whether it has been told to stop, and may."""
        if not self._stops:
            return False
        over = self._stops > 1 or not self._served or any(process.poll() is not None for process in self._processes)
        self._say("down" if over else "leaving")
        return over

    def _obey(self) -> None:
        """The broker wants the processes killed; the next look starts them anew."""
        with suppress(WireError, zmq.Again):
            while True:
                message, _ = self._reader.read(self._socket.recv_multipart(zmq.NOBLOCK))
                if isinstance(message, Restart):
                    log.warning("the broker has the processes of %s started anew", self._config.group)
                    for process in self._processes:
                        process.kill()

    def _watch(self) -> None:
        if self._stops:
            return
        if not self._processes and not self._failed:
            self._start()
        elif any(process.poll() is not None for process in self._processes):
            self._died()
        self._say("failed" if self._failed else "alive")

    def _start(self) -> None:
        """One process for each rank. They meet anew each time, so the file where they do is new."""
        handle, rendezvous = tempfile.mkstemp(dir=self._directory)
        os.close(handle)
        os.unlink(rendezvous)
        self._served = False
        for rank in range(self._config.model.ranks):
            command = [sys.executable, "-m", "interp_magics", "worker", "--process"]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
            self._processes.append(process)
            assert process.stdin is not None and process.stdout is not None
            self._poller.register(process.stdout.fileno(), zmq.POLLIN)
            process.stdin.write(encode(structs.replace(self._config, rank=rank, rendezvous=rendezvous)))
            process.stdin.flush()

    def _hear(self, output: int) -> None:
        """The process writes once when it serves; then its output ends with it."""
        said = os.read(output, 4096)
        if said:
            self._served = self._served or b"serving" in said
        else:
            self._poller.unregister(output)

    def _died(self) -> None:
        """One rank has ended, so all must: what they share is lost."""
        statuses = [self._last_words(process) for process in self._processes]
        log.warning("the worker processes of %s ended with status %s", self._config.group, statuses)
        self._kill()
        self._deaths = 0 if self._served else self._deaths + 1
        if CANNOT_SERVE in statuses:
            self._failed = True
        elif self._deaths >= _DEATHS_AT_START:
            self._failed = True
            self._say("failed", f"its worker process died {self._deaths} times before it served; see the worker's log")
        else:
            self._say("down")
            self._start()

    def _last_words(self, process: "subprocess.Popen[bytes]") -> int | None:
        """The status of a process that has ended, or does when another has: all ranks refuse a model for one reason."""
        if not self._served:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_WORDS_SECONDS)
        return process.poll()

    def _say(self, state: Literal["alive", "leaving", "down", "failed"], trouble: str = "") -> None:
        pid = self._processes[0].pid if self._processes else 0
        beat = Beat(group=self._config.group, model=self._config.model.name, state=state, trouble=trouble, pid=pid)
        try:
            self._socket.send_multipart(write(beat), zmq.NOBLOCK)
        except zmq.Again:
            log.warning("the broker does not take beats")

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            if process.stdout is not None:
                with suppress(KeyError):
                    self._poller.unregister(process.stdout.fileno())
                process.stdout.close()
        self._processes.clear()


def _ended(lifeline: BinaryIO, ready: Mapping[Any, int]) -> bool:
    return lifeline.fileno() in ready and not os.read(lifeline.fileno(), 4096)
