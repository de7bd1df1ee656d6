"""The nanny of a worker group: says that the group lives, restarts its process, ends when its own parent does.

It holds no model and takes no jobs, so a kernel that runs for minutes never makes a group look dead.
"""

import logging
import os
import subprocess
import sys
from contextlib import suppress
from typing import BinaryIO

import zmq

from ..launch.config import GroupConfig, encode
from ..wire.frames import write
from ..wire.keys import KeyPair, use_client_keys
from ..wire.messages import Beat

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.5
#: The exit status of a process that must not be started again: its model cannot be served.
CANNOT_SERVE = 3
#: How often a process may die before it has served at all; later deaths are a job's doing and are always followed by a start.
_DEATHS_AT_START = 3


class Nanny:
    """Runs until `lifeline` (its standard input) ends."""

    def __init__(self, config: GroupConfig, lifeline: BinaryIO) -> None:
        self._config, self._lifeline = config, lifeline
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        use_client_keys(self._socket, KeyPair.of(config.secret_key.encode()), config.server_key.encode())
        self._socket.linger = 200
        self._socket.connect(config.endpoint)
        self._poller = zmq.Poller()
        self._deaths = 0
        self._served = False
        self._failed = False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        self._poller.register(self._lifeline, zmq.POLLIN)
        try:
            while True:
                self._watch()
                ready = dict(self._poller.poll(int(BEAT_SECONDS * 1000)))
                if self._lifeline.fileno() in ready and not os.read(self._lifeline.fileno(), 4096):
                    return
                if self._process and self._process.stdout and self._process.stdout.fileno() in ready:
                    self._hear(self._process.stdout.fileno())
        finally:
            self._kill()
            self._socket.close()
            self._context.term()

    def _watch(self) -> None:
        if self._process is None and not self._failed:
            self._start()
        elif self._process is not None and self._process.poll() is not None:
            self._died(self._process)
        self._say("failed" if self._failed else "alive")

    def _start(self) -> None:
        command = [sys.executable, "-m", "interp_magics", "worker", "--process"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._served = False
        assert self._process.stdin is not None and self._process.stdout is not None
        self._poller.register(self._process.stdout.fileno(), zmq.POLLIN)
        self._process.stdin.write(encode(self._config))
        self._process.stdin.flush()

    def _hear(self, output: int) -> None:
        """The process writes once when it serves; then its output ends with it."""
        if os.read(output, 4096):
            self._served = True
        else:
            self._poller.unregister(output)

    def _died(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with suppress(KeyError):
            self._poller.unregister(process.stdout.fileno())
        process.stdout.close()
        self._process = None
        self._deaths = 0 if self._served else self._deaths + 1
        log.warning("the worker process of %s ended with status %s", self._config.group, process.returncode)
        if process.returncode == CANNOT_SERVE:
            self._failed = True
        elif self._deaths >= _DEATHS_AT_START:
            self._failed = True
            self._say("failed", f"its worker process died {self._deaths} times before it served; see the worker's log")
        else:
            self._say("down")
            self._start()

    def _say(self, state: str, trouble: str = "") -> None:
        pid = self._process.pid if self._process else 0
        beat = Beat(group=self._config.group, model=self._config.model.name, state=state, trouble=trouble, pid=pid)  # type: ignore[arg-type]
        try:
            self._socket.send_multipart(write(beat), zmq.NOBLOCK)
        except zmq.Again:
            log.warning("the broker does not take beats")

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
