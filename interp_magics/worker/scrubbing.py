"""What an administrator has taken out of texts before anything is made of them: personal data, most often.

A scrubber is a function from text to text under the entry point group `interp_magics.scrubbers`. It applies to what leaves something
behind that is kept: captures, trainings, evaluations, readings of and searches for features; not to prompts that are answered.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from itertools import groupby
from typing import Any

from msgspec import structs

from ..engine.tokens import Tokens
from ..errors import RequestError, nearest
from ..methods.capture.request import CaptureRequest
from ..methods.evaluate.request import EvaluateRequest
from ..methods.features.request import FeaturesRequest
from ..methods.requests import Request
from ..methods.search.request import SearchRequest
from ..methods.train.request import TrainRequest
from ..program.language import Chat, Ids, Plain, Text

GROUP = "interp_magics.scrubbers"
_KEPT = (CaptureRequest, TrainRequest, EvaluateRequest, FeaturesRequest, SearchRequest)


class Scrubbers:
    """Those that the pool's administrator named, in that order; `names` with their versions."""

    def __init__(self, names: Sequence[str]) -> None:
        """Raises RequestError for one that is not installed."""
        known = {point.name: point for point in entry_points(group=GROUP)} if names else {}
        for name in names:
            if name not in known:
                raise RequestError(
                    f"the scrubber {name!r} that the pool asks for is not installed here{nearest(name, known)}"
                )
        self._calls: dict[str, Callable[[str], str]] = {name: _loaded(known[name]) for name in names}
        self.names = tuple(_versioned(known[name]) for name in names)

    def cleaned(self, request: Request, tokens: Tokens) -> Request:
        """The request with its texts as the scrubbers leave them. Raises RequestError when one of them fails."""
        if not self._calls or not isinstance(request, _KEPT):
            return request
        changed = {
            name: tuple(self._text(text, tokens) for text in value)
            for name in request.__struct_fields__
            if _are_texts(value := getattr(request, name))
        }
        return structs.replace(request, **changed)

    def _text(self, text: Text, tokens: Tokens) -> Text:
        if isinstance(text, Plain):
            return Plain(self._clean(text.text))
        if isinstance(text, Chat):
            return Chat(tuple(structs.replace(m, content=self._clean(m.content)) for m in text.messages))
        return Ids(tuple(i for run in _runs(text.ids, tokens) for i in self._run(run, tokens)))

    def _run(self, ids: Sequence[int], tokens: Tokens) -> Sequence[int]:
        """Tokens that are all ordinary, or all special; the latter are nobody's words."""
        if not tokens.ordinary(ids):
            return ids
        read = tokens.decode(ids)
        clean = self._clean(read)
        return ids if clean == read else tokens.again(clean)

    def _clean(self, text: str) -> str:
        for name, call in self._calls.items():
            try:
                text = call(text)
            # Whatever it raises, nothing that it was to clean may go on.
            except Exception as error:
                raise RequestError(
                    f"the scrubber {name!r} failed on a text ({type(error).__name__}); tell the pool's administrator"
                ) from error
            if not isinstance(text, str):
                raise RequestError(f"the scrubber {name!r} did not give a text; tell the pool's administrator")
            if not text:
                raise RequestError(
                    f"the scrubber {name!r} left nothing of a text, and an empty one cannot be read; leave that text out"
                )
        return text


def _are_texts(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(each, Plain | Chat | Ids) for each in value)


def _runs(ids: Sequence[int], tokens: Tokens) -> Iterator[Sequence[int]]:
    """The ids cut where special tokens begin and end."""
    ordinary = set(tokens.ordinary(ids))
    for _, run in groupby(range(len(ids)), key=ordinary.__contains__):
        yield [ids[position] for position in run]


def _loaded(point: EntryPoint) -> Callable[[str], str]:
    try:
        call: Callable[[str], str] = point.load()
    # Its module may raise anything.
    except Exception as error:
        raise RequestError(f"the scrubber {point.name!r} cannot be loaded here: {error}") from error
    return call


def _versioned(point: EntryPoint) -> str:
    return f"{point.name} {point.dist.version}" if point.dist else point.name
