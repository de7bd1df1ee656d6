"""Where embedded pools say that they run, so that the same user's Jupyter server can look at them.

A file for each, in a directory of Jupyter's that only its owner can enter: the process that started the pool, and the pool's
address, which is a secret. The directory may be shared by several hosts, on each of which process numbers mean something else.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from ..errors import RequestError
from ..wire.keys import Address, write_secret

_DIRECTORY = "interp-pools"


class Announcement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process, where it runs and since when, and the address of its pool."""

    process: int
    started: str
    host: str
    address: str


def directory() -> Path | None:
    """None where there is no Jupyter."""
    try:
        from jupyter_core.paths import jupyter_runtime_dir
    except ImportError:
        return None
    return Path(jupyter_runtime_dir()) / _DIRECTORY


def announce(address: Address) -> Path | None:
    """Say that this process has a pool; the file, which must be removed with it. Where that cannot be said nothing is."""
    where = directory()
    if where is None:
        return None
    process = os.getpid()
    made = Announcement(process, _started(process), _host(), str(address))
    path = where / f"{process}-{address.endpoint.rpartition(':')[2]}"
    with suppress(OSError):
        write_secret(path, msgspec.json.encode(made).decode())
        return path
    return None


def announced() -> Iterator[tuple[str, Address]]:
    """Names and addresses of the pools of processes that live here; what others left behind here is removed."""
    where = directory()
    for path in sorted(where.iterdir()) if where is not None and where.is_dir() else ():
        with suppress(OSError, msgspec.MsgspecError, RequestError):
            found = msgspec.json.decode(path.read_bytes(), type=Announcement)
            if found.host != _host():
                continue
            if _lives(found.process) and _started(found.process) == found.started:
                yield path.name, Address.parse(found.address)
            else:
                path.unlink(missing_ok=True)


def _host() -> str:
    """The host, and the space of process numbers on it."""
    with suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def _started(process: int) -> str:
    """When a process started, in the kernel's own count, so that a number that was given again is not taken for it."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
