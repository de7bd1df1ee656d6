"""What the broker answers over HTTP, in a thread of its own: its health, its metrics, a hub's users at the gate."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from ..errors import PoolUnavailable
from .hub import Gate, Refusal
from .metrics import Metrics

_MOST_BODY = 4096


class Web:
    """A server on `host`:`port` below `prefix`. `healthy` is asked for each answer."""

    def __init__(
        self,
        host: str,
        port: int,
        metrics: Metrics,
        healthy: Callable[[], bool],
        prefix: str = "/",
        gate: Gate | None = None,
    ) -> None:
        """Raises PoolUnavailable when the port cannot be had."""
        from tornado.httpserver import HTTPServer
        from tornado.web import Application

        routes = _routes(prefix, metrics, healthy, gate)
        self._loop = asyncio.new_event_loop()
        started: list[Any] = []
        ready = threading.Event()

        async def start() -> None:
            try:
                server = HTTPServer(Application(routes), max_body_size=_MOST_BODY, max_header_size=16 << 10)
                server.listen(port, host)
                started.append(server)
            except OSError as error:
                started.append(error)
            ready.set()

        self._loop.create_task(start())
        self._thread = threading.Thread(target=self._run, name="interp-web", daemon=True)
        self._thread.start()
        ready.wait()
        if isinstance(started[0], OSError):
            self.close()
            raise PoolUnavailable(
                f"port {port} of {host} cannot be had ({started[0].strerror}); choose another for HTTP"
            )
        self._server = started[0]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        if hasattr(self, "_server"):
            self._server.stop()
        self._loop.close()


def _routes(prefix: str, metrics: Metrics, healthy: Callable[[], bool], gate: Gate | None) -> list[tuple[str, Any]]:
    from tornado.web import RequestHandler

    class Health(RequestHandler):
        def get(self) -> None:
            well = healthy()
            self.set_status(200 if well else 503)
            self.finish({"healthy": well})

    class Measured(RequestHandler):
        def get(self) -> None:
            from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

            self.set_header("Content-Type", CONTENT_TYPE_LATEST)
            self.finish(generate_latest(metrics.registry))

    class Admit(RequestHandler):
        def check_xsrf_cookie(self) -> None:
            """No cookie is ever read here, so there is nothing to forge."""

        async def post(self) -> None:
            assert gate is not None
            try:
                made = await gate.admit(self.request.headers.get("Authorization", ""), self.request.body)
            except Refusal as refusal:
                self.set_status(refusal.status)
                self.finish({"error": refusal.why})
                return
            self.set_header("Content-Type", "application/json")
            self.finish(msgspec.json.encode(made))

    base = "/" + prefix.strip("/") + "/" if prefix.strip("/") else "/"
    routes: list[tuple[str, Any]] = [(f"{base}healthz", Health)]
    if metrics.registry is not None:
        routes.append((f"{base}metrics", Measured))
    if gate is not None:
        routes.append((f"{base}admit", Admit))
    return routes
