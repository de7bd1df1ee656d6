"""CURVE keys, and the one string that lets a client in: where the pool is, the pool's key, the client's key."""

import base64
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import zmq
from zmq.utils import z85

from ..errors import RequestError


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair, in z85."""

    public: bytes
    secret: bytes

    @classmethod
    def make(cls) -> "KeyPair":
        return cls(*zmq.curve_keypair())

    @classmethod
    def of(cls, secret: bytes) -> "KeyPair":
        return cls(zmq.curve_public(secret), secret)


@dataclass(frozen=True)
class Address:
    """How a client reaches a pool. As text: `tcp://host:port#key=` and base64url of both 32-byte keys; a secret."""

    endpoint: str
    server: bytes
    client: KeyPair

    def __str__(self) -> str:
        both = z85.decode(self.server) + z85.decode(self.client.secret)
        return f"{self.endpoint}#key={base64.urlsafe_b64encode(both).decode().rstrip('=')}"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Raises RequestError when `text` is not such an address."""
        parts = urlsplit(text)
        if parts.scheme != "tcp" or not parts.port or not parts.fragment.startswith("key="):
            raise RequestError(
                "a pool's address is tcp://host:port#key=…, as `interp serve` prints it; or give its connection file"
            )
        try:
            both = base64.b64decode(
                parts.fragment[4:] + "=" * (-len(parts.fragment[4:]) % 4), altchars=b"-_", validate=True
            )
        except ValueError:
            both = b""
        if len(both) != 64:
            raise RequestError(
                "the key of the pool's address is damaged; copy the whole line that `interp serve` printed"
            )
        endpoint = f"tcp://{parts.netloc}"
        return cls(endpoint, z85.encode(both[:32]), KeyPair.of(z85.encode(both[32:])))


def write_secret(path: Path, text: str) -> None:
    """A file that only its owner can read, replaced at once."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.chmod(temporary, 0o600)
    os.replace(temporary, path)


def use_server_keys(socket: "zmq.Socket[bytes]", keys: KeyPair, domain: bytes) -> None:
    """Make a socket the CURVE server of a ZAP domain."""
    socket.curve_server = True
    socket.curve_secretkey = keys.secret
    socket.curve_publickey = keys.public
    socket.zap_domain = domain


def use_client_keys(socket: "zmq.Socket[bytes]", keys: KeyPair, server: bytes) -> None:
    """Make a socket a CURVE client of the server with that key."""
    socket.curve_serverkey = server
    socket.curve_secretkey = keys.secret
    socket.curve_publickey = keys.public


def notice_silence(socket: "zmq.Socket[bytes]") -> None:
    """Let a socket connect anew when its peer's host is gone without a word; before it binds or connects."""
    socket.heartbeat_ivl, socket.heartbeat_timeout = 1000, 3000
