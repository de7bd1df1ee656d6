"""Who may connect, as what: the ZAP handler (RFC 27), answered from the broker's own loop.

A key that is not known gets no answer at all. The user of every later frame is the `User-Id` that is set here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import zmq
from zmq.utils import z85

CLIENT, WORKER = b"client", b"worker"


@dataclass(frozen=True)
class Key:
    """What a public key stands for: a user of the pool, or one of its workers."""

    user: str
    role: bytes


class Admission:
    """Answers ZAP requests for the CURVE mechanism; `keys` maps public keys (z85) to what they stand for."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", keys: Mapping[bytes, Key]) -> None:
        self._keys = dict(keys)
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")

    def admit(self, public: bytes, key: Key) -> None:
        self._keys[public] = key

    def answer(self) -> None:
        """Answer one request that is waiting."""
        frames = self.socket.recv_multipart()
        if len(frames) < 6:
            self.socket.send_multipart([b"1.0", b"", b"400", b"malformed", b"", b""])
            return
        version, request, domain, _address, _identity, mechanism = frames[:6]
        known = self._keys.get(z85.encode(frames[6])) if mechanism == b"CURVE" and len(frames) > 6 else None
        if known is None or known.role != domain:
            self.socket.send_multipart([version, request, b"400", b"not admitted", b"", b""])
        else:
            self.socket.send_multipart([version, request, b"200", b"OK", known.user.encode(), b""])

    def close(self) -> None:
        self.socket.close()
