"""What a client of the OpenAI API asks, checked before anything is sent.

Fields whose effect is not known here are refused by name unless they ask for nothing: an evaluation whose options were passed over
would measure something else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ..building import UserText
from ..errors import RequestError, nearest

#: Without any effect on what is answered.
_HARMLESS = frozenset({"user", "metadata", "store", "service_tier"})
#: With none while they have this value; None always is one.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "suffix": ("",),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "top_logprobs": (0,),
}
_MOST_LOGPROBS = 20


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class _Common(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None


class _Completion(_Common, frozen=True, kw_only=True):
    prompt: str | list[str | int | list[int]]
    max_tokens: int | None = None
    echo: bool | None = None
    logprobs: int | None = None


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: str
    content: str
    name: str | None = None


class _Chat(_Common, frozen=True, kw_only=True):
    messages: list[_Message]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = None


@dataclass(frozen=True)
class Ask:
    """Completions of texts: `max_tokens` None until the model stops or the context is full; `logprobs` None without, else how
    many alternatives of each token are told; `echo` tells the prompt's tokens too; `stream` sends texts as they grow, and at the end
    their `usage`."""

    model: str
    texts: tuple[UserText, ...]
    max_tokens: int | None
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    seed: int | None
    stream: bool
    usage: bool
    echo: bool = False
    logprobs: int | None = None


def completion(body: bytes) -> Ask:
    """What /v1/completions is asked. Raises RequestError naming the field that is wrong."""
    told = _read(body, _Completion)
    if told.logprobs is not None and not 0 <= told.logprobs <= _MOST_LOGPROBS:
        raise RequestError(f"logprobs must be between 0 and {_MOST_LOGPROBS}, not {told.logprobs}")
    if told.stream and (told.echo or told.logprobs is not None):
        raise RequestError("a stream has neither echo nor logprobs here; leave stream out")
    most = 16 if told.max_tokens is None else told.max_tokens
    if most < (0 if told.echo else 1):
        raise RequestError(f"max_tokens must be 1 or more (0 with echo), not {most}")
    return Ask(told.model, _texts(told.prompt), most, *_drawn(told), *_sent(told), bool(told.echo), told.logprobs)


def chat(body: bytes) -> Ask:
    """What /v1/chat/completions is asked. Raises RequestError naming the field that is wrong."""
    told = _read(body, _Chat)
    if told.logprobs:
        raise RequestError("logprobs of chats are not told here; ask /v1/completions")
    most = told.max_tokens if told.max_completion_tokens is None else told.max_completion_tokens
    if most is not None and most < 1:
        raise RequestError(f"max_tokens must be 1 or more, not {most}")
    messages = [{"role": one.role, "content": one.content} for one in told.messages]
    return Ask(told.model, (messages,), most, *_drawn(told), *_sent(told))


def _drawn(told: _Common) -> tuple[float, float, tuple[str, ...], int | None]:
    """How tokens are drawn, as the OpenAI API has it when nothing is said."""
    stop = (told.stop,) if isinstance(told.stop, str) else tuple(told.stop or ())
    temperature = 1.0 if told.temperature is None else told.temperature
    return temperature, 1.0 if told.top_p is None else told.top_p, stop, told.seed


def _sent(told: _Common) -> tuple[bool, bool]:
    """Whether texts are sent as they grow, and then their usage."""
    return bool(told.stream), told.stream_options is not None and told.stream_options.include_usage


def _texts(prompt: str | list[str | int | list[int]]) -> tuple[UserText, ...]:
    if isinstance(prompt, str):
        return (prompt,)
    ids = [one for one in prompt if isinstance(one, int)]
    texts = [one for one in prompt if not isinstance(one, int)]
    if ids and texts:
        raise RequestError("prompt is a text, token ids, or a list of these, not a mixture of ids and texts")
    return (ids,) if ids else tuple(texts)


def _read(body: bytes, kind: type[Any]) -> Any:
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise RequestError("the body must be a JSON object")
    for name in sorted(set(given) - set(kind.__struct_fields__) - _HARMLESS):
        if name not in _NEUTRAL:
            raise RequestError(f"{name!r} is not known here{nearest(name, kind.__struct_fields__)}")
        if given[name] is not None and given[name] not in _NEUTRAL[name]:
            raise RequestError(f"{name} cannot be {given[name]!r} here; leave it out")
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise RequestError(str(error)) from error
