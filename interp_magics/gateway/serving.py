"""`interp openai`: a pool to clients of the OpenAI API, until it is interrupted."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from ..api import Pool
from ..connecting import connect
from ..errors import PoolUnavailable, RequestError
from .app import MOST_BODY, application
from .callers import is_loopback
from .offer import Offer, offered

#: In which a body must have come, and for which a connection may say nothing.
_BODY_SECONDS, _IDLE_SECONDS = 30.0, 300.0


@dataclass(frozen=True)
class Serving:
    """Which pool is served where, under which interventions, to whom: with a key to those who show it."""

    pool: str | None
    interventions: Sequence[str]
    host: str = "127.0.0.1"
    port: int = 8000
    key_file: str | None = None


def serve(asked: Serving) -> None:
    """Serve until interrupted. Raises RequestError, PoolUnavailable."""
    key = _key(asked)
    with connect(asked.pool) as pool:
        asyncio.run(_served(pool, offered(pool, asked.interventions), asked, key))


def _key(asked: Serving) -> str | None:
    if asked.key_file is not None:
        try:
            key = Path(asked.key_file).expanduser().read_text().strip()
        except OSError as error:
            raise RequestError(f"the key in {asked.key_file} cannot be read: {error.strerror}") from error
        if len(key) < 16:
            raise RequestError(f"the key in {asked.key_file} is shorter than 16 characters; take a longer one")
        return key
    if not is_loopback(asked.host):
        raise RequestError(
            f"{asked.host} can be reached by others, who would ask the pool as you; give --key-file, or stay on 127.0.0.1"
        )
    return None


async def _served(pool: Pool, offer: Offer, asked: Serving, key: str | None) -> None:
    server = HTTPServer(
        application(pool, offer, key),
        max_body_size=MOST_BODY,
        max_header_size=16 << 10,
        body_timeout=_BODY_SECONDS,
        idle_connection_timeout=_IDLE_SECONDS,
    )
    try:
        sockets = bind_sockets(asked.port, asked.host)
    except OSError as error:
        raise PoolUnavailable(
            f"port {asked.port} of {asked.host} cannot be had ({error.strerror}); choose another"
        ) from error
    server.add_sockets(sockets)
    print(f"serving http://{asked.host}:{sockets[0].getsockname()[1]}/v1")
    for one in offer.all:
        print(f"  {one.id}", flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    server.stop()
    await server.close_all_connections()
