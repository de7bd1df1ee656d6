"""A result of a pool on this host: its file, mapped instead of sent."""

import mmap
import os
import socket

_SECONDS = 2.0


def mapped(path: str, ticket: str, size: int) -> mmap.mmap | None:
    """The file that the pool gives for `ticket`, mapped read-only; None when this process cannot have it that way."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(_SECONDS)
            caller.connect(path)
            caller.sendall(ticket.encode())
            _, descriptors, _, _ = socket.recv_fds(caller, 1, 1)
    except OSError:
        return None
    if not descriptors:
        return None
    try:
        whole = os.fstat(descriptors[0]).st_size == size
        return mmap.mmap(descriptors[0], size, prot=mmap.PROT_READ) if whole else None
    except (OSError, ValueError, OverflowError):
        return None
    finally:
        os.close(descriptors[0])
