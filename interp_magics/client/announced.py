"""Where embedded pools say that they run, so that the same user's Jupyter server can look at them.

A file for each, in a directory of Jupyter's that only its owner can enter: the process that started the pool, and the pool's
address, which is a secret.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import RequestError
from ..wire.keys import Address, write_secret

_DIRECTORY = "interp-pools"


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
    path = where / f"{os.getpid()}-{address.endpoint.rpartition(':')[2]}"
    with suppress(OSError):
        write_secret(path, f"{os.getpid()}\n{address}")
        return path
    return None


def announced() -> Iterator[tuple[str, Address]]:
    """Names and addresses of the pools of processes that live; what others left behind is removed."""
    where = directory()
    for path in sorted(where.iterdir()) if where is not None and where.is_dir() else ():
        with suppress(OSError, ValueError, RequestError):
            process, address = path.read_text().split("\n", 1)
            if _lives(int(process)):
                yield path.name, Address.parse(address.strip())
            else:
                path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
