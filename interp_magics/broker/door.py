"""Results for clients on the same host: a read-only descriptor over a Unix socket, against a ticket used once.

The ticket is given to whom CURVE has identified; the kernel says, in addition, that the process that brings it is of the
broker's own user.
"""

import os
import secrets
import selectors
import socket
import struct
import tempfile
import time
from pathlib import Path

_TICKET_SECONDS = 10.0
_TICKET_BYTES = 32
_CALLERS = 64
#: A path of a Unix socket has at most 107 bytes.
_LONGEST = 100
_CREDENTIALS = struct.Struct("3i")


class Door:
    """A listening Unix socket. `fileno()` becomes readable when `answer()` has something to do."""

    def __init__(self, directory: Path) -> None:
        """Raises OSError when the socket cannot be made in `directory`, which nobody else may read."""
        self._short: Path | None = None
        if len(os.fsencode(directory)) > _LONGEST:
            directory = self._short = Path(tempfile.mkdtemp(prefix="interp-door-"))
        path = directory / "door"
        path.unlink(missing_ok=True)
        self.path = str(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(self.path)
        path.chmod(0o600)
        self._paused = False
        self._listener.listen(_CALLERS)
        self._selector = selectors.EpollSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._callers: dict[socket.socket, float] = {}
        self._tickets: dict[bytes, tuple[Path, float]] = {}

    def fileno(self) -> int:
        return self._selector.fileno()

    def ticket(self, path: Path) -> str:
        """A secret for which `path` is opened once, soon."""
        secret = secrets.token_hex(_TICKET_BYTES // 2)
        self._tickets[secret.encode()] = path, time.monotonic() + _TICKET_SECONDS
        return secret

    def answer(self) -> None:
        """Let callers in, and give those with a ticket their descriptor."""
        for key, _ in self._selector.select(0):
            if key.fileobj is self._listener:
                self._admit()
            elif isinstance(key.fileobj, socket.socket):
                self._serve(key.fileobj)

    def expire(self) -> None:
        """Forget old tickets, and callers who say nothing."""
        now = time.monotonic()
        self._tickets = {secret: kept for secret, kept in self._tickets.items() if kept[1] > now}
        for caller in [caller for caller, until in self._callers.items() if until < now]:
            self._dismiss(caller)
        if self._paused:
            self._paused = False
            self._selector.register(self._listener, selectors.EVENT_READ)

    def close(self) -> None:
        for caller in list(self._callers):
            self._dismiss(caller)
        self._selector.close()
        self._listener.close()
        Path(self.path).unlink(missing_ok=True)
        if self._short:
            self._short.rmdir()

    def _admit(self) -> None:
        try:
            caller, _ = self._listener.accept()
        except OSError:
            # Out of descriptors: the caller stays in line, so listening on would turn the loop without end.
            self._selector.unregister(self._listener)
            self._paused = True
            return
        credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(credentials)[1] != os.getuid() or len(self._callers) >= _CALLERS:
            caller.close()
            return
        caller.setblocking(False)
        self._callers[caller] = time.monotonic() + _TICKET_SECONDS
        self._selector.register(caller, selectors.EVENT_READ)

    def _serve(self, caller: socket.socket) -> None:
        try:
            path, until = self._tickets.pop(caller.recv(_TICKET_BYTES), (None, 0.0))
            if path is not None and until > time.monotonic():
                self._give(caller, path)
        except OSError:
            pass
        self._dismiss(caller)

    def _give(self, caller: socket.socket, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            socket.send_fds(caller, [b"\1"], [descriptor])
        finally:
            os.close(descriptor)

    def _dismiss(self, caller: socket.socket) -> None:
        del self._callers[caller]
        self._selector.unregister(caller)
        caller.close()
