"""The OpenAI API over HTTP: what comes in, what goes out."""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

from ..api import Pool
from ..errors import InterpError, RemoteError, RequestError
from . import answers, asks
from .answers import Choice, Form, Part
from .asks import Ask
from .callers import refusal
from .growing import Growing
from .offer import Offer
from .running import Running

#: Bytes of a request.
MOST_BODY = 4 << 20
#: In which a client must read what is sent.
_READ_SECONDS = 60.0


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
        found = refusal(self.request, self._key)
        if found is not None:
            self._refuse(*found)

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

    async def _answer(self, read: Callable[[bytes], Ask], form: Form) -> None:
        try:
            await self._try(read, form)
        except StreamClosedError:
            self.on_connection_close()

    async def _try(self, read: Callable[[bytes], Ask], form: Form) -> None:
        try:
            ask = read(self.request.body)
            self._running = Running(self._pool, self._offer.find(ask.model), ask)
            if ask.stream:
                await self._send_growing(self._running, form)
            else:
                choices = await self._running.choices()
                self._send(form.whole(secrets.token_hex(12), int(time.time()), ask.model, choices))
        except InterpError as error:
            await self._fail(error)

    async def _fail(self, error: InterpError) -> None:
        """Say what went wrong; after a part was sent, in the stream."""
        if self._headers_written:
            await self._send_event(answers.failure(error))
            self.finish()
            return
        self.set_status(answers.status(error))
        self._send(answers.failure(error))

    async def _send_growing(self, running: Running, form: Form) -> None:
        """Server-sent events: parts of each text as it grows, why it ended, and how much it was if that was asked for."""
        ask = running.ask
        named = secrets.token_hex(12), int(time.time()), ask.model
        sent, begun, ended = [Growing(ask.stop) for _ in ask.texts], set[int](), list[Choice]()
        async for number, text, choice in running.growing():
            new = sent[number].more(text) if choice is None else sent[number].rest(text)
            if new is None:
                raise RemoteError("the completion is not what was sent of it; ask again", "changed")
            if new or choice is not None:
                part = Part(number, new, number not in begun, None if choice is None else choice.finish)
                await self._send_event(form.part(*named, part))
                begun.add(number)
            ended += [] if choice is None else [choice]
        if ask.usage:
            await self._send_event(
                {**form.part(*named, Part(0, "", False)), "choices": [], "usage": answers.usage(ended)}
            )
        self.write("data: [DONE]\n\n")
        self.finish()

    async def _send_event(self, body: dict[str, Any]) -> None:
        if not self._headers_written:
            self.set_header("Content-Type", "text/event-stream; charset=utf-8")
            self.set_header("Cache-Control", "no-cache")
        self.write(b"data: " + msgspec.json.encode(body) + b"\n\n")
        try:
            await asyncio.wait_for(self.flush(), _READ_SECONDS)
        except TimeoutError:
            self.detach().close()
            raise StreamClosedError from None


class _Models(_Handler):
    def get(self) -> None:
        self._send(answers.models(self._offer, int(time.time())))


class _Completions(_Handler):
    async def post(self) -> None:
        await self._answer(asks.completion, answers.COMPLETION)


class _Chats(_Handler):
    async def post(self) -> None:
        await self._answer(asks.chat, answers.CHAT)


class _Nothing(_Handler):
    def prepare(self) -> None:
        self._refuse(404, "there is /v1/models, /v1/completions and /v1/chat/completions")
