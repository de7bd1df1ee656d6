"""Who may connect, as what: the ZAP handler (RFC 27), answered from the broker's own loop.

A key that is not known gets no answer at all. The user id of every later frame is the key that ZAP has seen, and what it stands
for is looked up for each message: a key that was revoked, or whose time is over, ends an open connection too.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import zmq
from zmq.utils import z85

CLIENT, WORKER = b"client", b"worker"


@dataclass(frozen=True)
class Key:
    """What a public key stands for: a user of the pool, with groups and perhaps an administrator's rights, or one of its
    workers; until `expires` (wall clock)."""

    user: str
    role: bytes
    groups: frozenset[str] = frozenset()
    admin: bool = False
    expires: float = math.inf


class Admission:
    """Answers ZAP requests for the CURVE mechanism; `keys` maps public keys (z85) to what they stand for.

    Keys may be admitted from another thread.
    """

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", keys: Mapping[bytes, Key]) -> None:
        self._keys = dict(keys)
        #: Called when a key is not known: it may have been let in a moment ago.
        self.look_again: Callable[[], object] = lambda: None
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")

    def admit(self, public: bytes, key: Key) -> bool:
        """Let a key in, or let it stay longer; False when it stands for somebody else already."""
        known = self._keys.setdefault(public, key)
        if (known.user, known.role) != (key.user, key.role):
            return False
        self._keys[public] = key
        return True

    def revoke(self, public: bytes) -> None:
        self._keys.pop(public, None)

    def who(self, user_id: str) -> Key | None:
        """What the key behind a frame stands for now."""
        key = self._keys.get(user_id.encode())
        return key if key and key.expires > time.time() else None

    def expire(self) -> None:
        """Forget keys whose time has been over for long enough that nobody asks any more."""
        over = time.time() - 3600
        for public in [public for public, key in list(self._keys.items()) if key.expires < over]:
            self._keys.pop(public, None)

    def answer(self) -> None:
        """Answer one request that is waiting."""
        frames = self.socket.recv_multipart()
        if len(frames) < 6:
            self.socket.send_multipart([b"1.0", b"", b"400", b"malformed", b"", b""])
            return
        version, request, domain, _address, _identity, mechanism = frames[:6]
        public = z85.encode(frames[6]) if mechanism == b"CURVE" and len(frames) > 6 else b""
        known = self.who(public.decode())
        if known is None:
            self.look_again()
            known = self.who(public.decode())
        if known is None or known.role != domain:
            self.socket.send_multipart([version, request, b"400", b"not admitted", b"", b""])
        else:
            self.socket.send_multipart([version, request, b"200", b"OK", public, b""])

    def close(self) -> None:
        self.socket.close()
