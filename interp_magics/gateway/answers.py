"""What the OpenAI API answers, from what a pool gave."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Cancelled, InterpError, PoolUnavailable, RemoteError, RequestError
from .offer import Offer, UnknownModel


@dataclass(frozen=True)
class Token:
    """A token: how it reads, log p (nats; None for the first, which nothing predicts), and the likeliest ones in its place."""

    text: str
    logprob: float | None
    top: dict[str, float] | None


@dataclass(frozen=True)
class Choice:
    """A completion: `tokens` are those that are told, None without logprobs."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    tokens: Sequence[Token] | None = None


def models(offer: Offer, since: int) -> dict[str, Any]:
    """The answer of /v1/models."""
    data = [{"id": one.id, "object": "model", "created": since, "owned_by": one.model} for one in offer.all]
    return {"object": "list", "data": data}


def completion(number: str, when: int, model: str, choices: Sequence[Choice]) -> dict[str, Any]:
    """The answer of /v1/completions."""
    told = [
        {"index": i, "text": one.text, "logprobs": _logprobs(one), "finish_reason": one.finish}
        for i, one in enumerate(choices)
    ]
    return _answer(f"cmpl-{number}", "text_completion", when, model, told, choices)


def chat(number: str, when: int, model: str, choices: Sequence[Choice]) -> dict[str, Any]:
    """The answer of /v1/chat/completions."""
    (choice,) = choices
    message = {"role": "assistant", "content": choice.text}
    told = [{"index": 0, "message": message, "logprobs": None, "finish_reason": choice.finish}]
    return _answer(f"chatcmpl-{number}", "chat.completion", when, model, told, choices)


@dataclass(frozen=True)
class Part:
    """More of text `index`: the `first` that is sent of it, or not; why it ended, None while it has not."""

    index: int
    text: str
    first: bool
    finish: str | None = None


def completion_part(number: str, when: int, model: str, part: Part) -> dict[str, Any]:
    """More of a text of /v1/completions."""
    told = [{"index": part.index, "text": part.text, "logprobs": None, "finish_reason": part.finish}]
    return _named(f"cmpl-{number}", "text_completion", when, model, told)


def chat_part(number: str, when: int, model: str, part: Part) -> dict[str, Any]:
    """More of the message of /v1/chat/completions; clients put the parts of each field together, so that its role is told once."""
    delta = {"role": "assistant", "content": part.text} if part.first else {"content": part.text}
    told = [{"index": part.index, "delta": delta, "finish_reason": part.finish}]
    return _named(f"chatcmpl-{number}", "chat.completion.chunk", when, model, told)


def _named(name: str, kind: str, when: int, model: str, told: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": name, "object": kind, "created": when, "model": model, "choices": told}


def usage(choices: Sequence[Choice]) -> dict[str, int]:
    """How many tokens were read and made."""
    read, made = sum(one.prompt_tokens for one in choices), sum(one.completion_tokens for one in choices)
    return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}


def _answer(
    name: str, kind: str, when: int, model: str, told: list[dict[str, Any]], choices: Sequence[Choice]
) -> dict[str, Any]:
    return {**_named(name, kind, when, model, told), "usage": usage(choices)}


def _logprobs(choice: Choice) -> dict[str, Any] | None:
    if choice.tokens is None:
        return None
    offsets, at = [], 0
    for token in choice.tokens:
        offsets.append(at)
        at += len(token.text)
    return {
        "tokens": [token.text for token in choice.tokens],
        "token_logprobs": [token.logprob for token in choice.tokens],
        "top_logprobs": [token.top for token in choice.tokens],
        "text_offset": offsets,
    }


@dataclass(frozen=True)
class Form:
    """What an answer looks like: whole, and in parts as it grows."""

    whole: Callable[[str, int, str, Sequence[Choice]], dict[str, Any]]
    part: Callable[[str, int, str, Part], dict[str, Any]]


COMPLETION, CHAT = Form(completion, completion_part), Form(chat, chat_part)


def alternatives(texts: Sequence[str], logprobs: Sequence[float], chosen: str, logprob: float) -> dict[str, float]:
    """The likeliest tokens in a place, the one that stands there among them. Of two that read alike the likelier is told."""
    top = {chosen: logprob}
    for text, value in zip(texts, logprobs, strict=True):
        if math.isfinite(value):
            top[text] = max(value, top.get(text, -math.inf))
    return top


def status(error: InterpError) -> int:
    """The HTTP status of what went wrong."""
    if isinstance(error, UnknownModel):
        return 404
    if isinstance(error, RequestError):
        return 400
    if isinstance(error, RemoteError):
        return {"busy": 429, "draining": 503}.get(error.code, 500)
    return 503 if isinstance(error, PoolUnavailable | Cancelled) else 500


def failure(error: InterpError) -> dict[str, Any]:
    """The body of what went wrong."""
    kind = "invalid_request_error" if isinstance(error, RequestError) else "server_error"
    code = error.code if isinstance(error, RemoteError) else None
    return {"error": {"message": str(error), "type": kind, "param": None, "code": code}}
