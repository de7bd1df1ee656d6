"""From what a user writes to what is sent: texts, positions, layers, sampling and steering as plain data."""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .data.intervention import Intervention
from .data.vector_edits import Storable, VectorEdit
from .data.vectors import SteeringVector
from .errors import RequestError, one_of
from .methods.capture.request import DTYPES, CaptureRequest
from .methods.generate.request import GenerateRequest
from .methods.lens.request import LensRequest
from .program.cards import ModelCard
from .program.handles import KEEP_SECONDS, Handle
from .program.language import Chat, Edit, Ids, Message, Plain, Positions, Sampling, Text
from .program.layers import LayerSpec, parse_layers
from .program.numbers import integer, real
from .program.positions import parse_positions
from .program.sites import parse_site

Track = str | int | Sequence[str | int] | npt.NDArray[np.integer[Any]]
UserText = str | Sequence[int] | Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Texts:
    """Texts of a call; `many` says whether the user gave several, and so gets several results."""

    texts: tuple[Text, ...]
    many: bool


def texts(given: UserText | Sequence[UserText]) -> Texts:
    """A text is a string, chat messages, or token ids; a list of these is several. Raises RequestError otherwise."""
    if isinstance(given, str) or _is_ids(given) or _is_chat(given):
        return Texts((_text(given),), False)
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise RequestError(f"a text is a string, chat messages or token ids, not {type(given).__name__}")
    several = tuple(_numbered(i, one) for i, one in enumerate(given))
    if not several:
        raise RequestError("there is no text to run; give at least one")
    return Texts(several, True)


def each(given: Iterable[Any]) -> Iterator[Text]:
    """Texts of a corpus, one at a time. Raises RequestError at the one that is none."""
    return (_numbered(number, one) for number, one in enumerate(given))


def _numbered(number: int, given: Any) -> Text:
    try:
        return _text(given)
    except RequestError as error:
        raise RequestError(f"text {number} of the list: {error}") from None


def _is_ids(given: object) -> bool:
    if isinstance(given, np.ndarray):
        return given.ndim == 1 and np.issubdtype(given.dtype, np.integer)
    return isinstance(given, list | tuple) and bool(given) and all(isinstance(i, int | np.integer) for i in given)


def _is_chat(given: object) -> bool:
    return isinstance(given, list | tuple) and bool(given) and all(isinstance(m, Mapping) for m in given)


def _text(given: Any) -> Text:
    if isinstance(given, str):
        if not given:
            raise RequestError("the prompt is empty; write some text")
        if not given.isascii() and any("\ud800" <= c <= "\udfff" for c in given):
            raise RequestError("the text holds half of a surrogate pair, which no encoding of text has; clean it first")
        return Plain(given)
    if _is_ids(given):
        return Ids(_ids(given))
    if _is_chat(given):
        return Chat(tuple(_message(m) for m in given))
    raise RequestError(f"a text is a string, chat messages or token ids, not {type(given).__name__}")


def _ids(given: Any) -> tuple[int, ...]:
    wrong = next((i for i in given if not 0 <= i < 2**31), None)
    if wrong is not None:
        raise RequestError(f"{wrong} is no token id: they are whole numbers from 0, below the size of the vocabulary")
    return tuple(int(i) for i in given)


def _message(given: Mapping[str, str]) -> Message:
    if set(given) != {"role", "content"}:
        raise RequestError(f"a chat message has 'role' and 'content', not {sorted(given)}")
    return Message(str(given["role"]), str(given["content"]))


def sites(given: str | Sequence[str]) -> tuple[str, ...]:
    """Semantic names, from any alias; a string may hold several, joined by commas."""
    names = [n.strip() for n in given.split(",")] if isinstance(given, str) else list(given)
    return tuple(dict.fromkeys(parse_site(name)[0] for name in names if name))


def layers(given: LayerSpec, card: ModelCard | None) -> tuple[int, ...] | None:
    """Layer numbers; None stays None, so that a card is not needed for it."""
    if given is None:
        return None
    if card is None:
        raise RequestError("layers can only be resolved when the model's card is known")
    return parse_layers(given, card.layers)


def sampling(
    count: int, temperature: float, top_p: float, stop: str | Sequence[str], seed: int | None
) -> Sampling | None:
    """None when nothing is generated. A seed that is not given is drawn here, before anything is sent."""
    if integer("the number of new tokens", count) == 0:
        return None
    if count < 0:
        raise RequestError(f"the number of new tokens must be 0 or more, not {count}")
    if seed is not None and integer("seed", seed) < 0:
        raise RequestError(f"seed must be 0 or more, not {seed}")
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    drawn = secrets.randbits(53) if seed is None else seed
    return Sampling(int(count), real("temperature", temperature), real("top_p", top_p), stops, int(drawn))


@dataclass(frozen=True)
class Steering:
    """Edits, the objects (by digest) that they name, and the vectors among them."""

    edits: tuple[Edit, ...]
    objects: dict[str, bytes]
    vectors: tuple[Storable, ...] = ()


def steering(given: object) -> Steering:
    """`steer=` takes edits, vectors and interventions, alone or in lists; a vector stands for its edit."""
    edits: list[Edit] = []
    objects: dict[str, bytes] = {}
    used: dict[str, Storable] = {}
    for one in flat(given):
        for item in one.edit() if isinstance(one, SteeringVector | Intervention) else (one,):
            if isinstance(item, VectorEdit):
                objects |= {vector.digest: vector.data for vector in item.vectors}
                used |= {vector.digest: vector for vector in item.vectors}
                edits.append(item.edit)
            elif isinstance(item, Edit):
                edits.append(item)
            else:
                raise RequestError(f"steer= takes vectors and edits, not {type(item).__name__}")
    return Steering(tuple(edits), objects, tuple(used.values()))


def flat(given: object) -> Iterable[Any]:
    """Vectors and edits out of whatever lists they are in."""
    if isinstance(given, list | tuple):
        for one in given:
            yield from flat(one)
    elif given is not None:
        yield given


def tracked(given: Track) -> tuple[str | int, ...]:
    """Tokens to track, as texts or ids; an array of ids may have any shape."""
    if isinstance(given, str):
        return (given,)
    flat = np.asarray(given, dtype=object).ravel().tolist()
    return tuple(one if isinstance(one, str) else integer("track", one) for one in flat)


def seconds(keep: int) -> int:
    """For how long rows are kept. Raises RequestError outside what a pool may be asked."""
    if not 0 <= integer("keep", keep) <= KEEP_SECONDS:
        raise RequestError(f"keep= is a number of seconds between 0 and {KEEP_SECONDS}, not {keep}")
    return int(keep)


def lens(
    chosen: Texts,
    card: ModelCard | None,
    steer: Steering,
    *,
    kind: str = "logit",
    top_k: int = 5,
    layers_: LayerSpec = None,
    sites_: str | Sequence[str] = "resid_post",
    positions_: str | int | Sequence[int] | Positions = "all",
    track: Track = (),
    sampled: Sampling | None = None,
    keep: int = 0,
    kept: Handle | None = None,
    stream: bool = False,
) -> LensRequest:
    """A lens request from a call's arguments."""
    return LensRequest(
        texts=chosen.texts,
        kind=kind,
        top_k=integer("top_k", top_k),
        layers=layers(layers_, card),
        sites=sites(sites_),
        positions=parse_positions(positions_),
        track=tracked(track),
        sampling=sampled,
        steer=steer.edits,
        keep=seconds(keep),
        kept=kept,
        stream=bool(stream),
    )


def capture(
    chosen: Texts,
    card: ModelCard | None,
    steer: Steering,
    *,
    layers_: LayerSpec = None,
    sites_: str | Sequence[str] = "resid_post",
    positions_: str | int | Sequence[int] | Positions = "all",
    sampled: Sampling | None = None,
    dtype: str | None = None,
    reduce: str | None = None,
    keep: int = 0,
    kept: Handle | None = None,
) -> CaptureRequest:
    """A capture request from a call's arguments."""
    if reduce not in (None, "moments"):
        raise RequestError(f"unknown reduction {reduce!r}; a capture knows 'moments'")
    return CaptureRequest(
        texts=chosen.texts,
        layers=layers(layers_, card),
        sites=sites(sites_),
        positions=parse_positions(positions_),
        sampling=sampled,
        dtype=None if dtype is None else one_of("dtype", dtype, DTYPES),
        reduce="moments" if reduce else None,
        steer=steer.edits,
        keep=seconds(keep),
        kept=kept,
    )


def generate(chosen: Texts, steer: Steering, sampled: Sampling | None) -> GenerateRequest:
    """A request for completions from a call's arguments."""
    if sampled is None:
        raise RequestError("max_new_tokens must be at least 1")
    return GenerateRequest(chosen.texts, sampled, steer.edits)
