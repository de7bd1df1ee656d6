"""The OpenAI API over HTTP: who may ask, what comes in, what goes out.

Only JSON is read, which a page of another site cannot send here without being asked first, and no cookie counts. A key is compared
in constant time.
"""

import hmac
import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec
from tornado.web import Application, RequestHandler

from ..api import Pool
from ..errors import InterpError, RequestError
from . import answers, asks
from .asks import Ask
from .offer import Offer
from .running import Running

#: Bytes of a request.
MOST_BODY = 4 << 20


def application(pool: Pool, offer: Offer, key: str | None) -> Application:
    """What answers; with a `key` only those who show it as a bearer token."""
    given = {"pool": pool, "offer": offer, "key": key}
    return Application(
        [
            (r"/v1/models", _Models, given),
            (r"/v1/completions", _Completions, given),
            (r"/v1/chat/completions", _Chats, given),
        ],
        default_handler_class=_Nothing,
        default_handler_args=given,
        log_function=lambda handler: None,
    )


class _Handler(RequestHandler):
    def initialize(self, pool: Pool, offer: Offer, key: str | None) -> None:
        self._pool, self._offer, self._key = pool, offer, key
        self._running: Running | None = None

    def prepare(self) -> None:
        shown = self.request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if self._key is not None and not hmac.compare_digest(shown.encode(), self._key.encode()):
            self._refuse(401, "the key is missing or wrong; send it as Authorization: Bearer KEY")
        elif self.request.method == "POST" and not self._is_json():
            self._refuse(415, "send the body as Content-Type: application/json")

    def _is_json(self) -> bool:
        return self.request.headers.get("Content-Type", "").split(";")[0].strip().lower() == "application/json"

    def check_xsrf_cookie(self) -> None:
        """No cookie is read here, so there is nothing to forge."""

    def on_connection_close(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def write_error(self, status_code: int, **given: Any) -> None:
        """Faults of tornado's own, such as a method that is not there, in the same form."""
        self._refuse(status_code, self._reason)

    def _refuse(self, status: int, message: str) -> None:
        self.set_status(status)
        self._send(answers.failure(RequestError(message)))

    def _send(self, body: dict[str, Any]) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(msgspec.json.encode(body))

    async def _answer(self, read: Callable[[bytes], Ask], told: Callable[..., dict[str, Any]]) -> None:
        try:
            ask = read(self.request.body)
            self._running = Running(self._pool, self._offer.find(ask.model), ask)
            choices = await self._running.choices()
        except InterpError as error:
            self.set_status(answers.status(error))
            self._send(answers.failure(error))
            return
        self._send(told(secrets.token_hex(12), int(time.time()), ask.model, choices))


class _Models(_Handler):
    def get(self) -> None:
        self._send(answers.models(self._offer, int(time.time())))


class _Completions(_Handler):
    async def post(self) -> None:
        await self._answer(asks.completion, answers.completion)


class _Chats(_Handler):
    async def post(self) -> None:
        await self._answer(asks.chat, lambda number, when, model, made: answers.chat(number, when, model, made[0]))


class _Nothing(_Handler):
    def prepare(self) -> None:
        self._refuse(404, "there is /v1/models, /v1/completions and /v1/chat/completions")
