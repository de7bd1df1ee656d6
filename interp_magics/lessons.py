"""What the slices of a training learn from, well mixed: texts of a corpus, or rows that were captured before."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from .corpora import read_texts
from .data import files
from .data.activation_store import ActivationStore
from .data.activations import Activations
from .errors import RequestError, nearest
from .program.cards import ModelCard
from .program.language import Text
from .streaming import in_slices

#: Texts among which the next is drawn, so that neighbours of a corpus do not meet in a slice.
_MIXED = 4096
#: So many slices' worth of captured positions, from shards in random order, are mixed at a time.
_SLICES_MIXED = 8
#: Bytes of an object that are none of its values, at most.
_HEADER = 64 << 10

Reader = Callable[[Iterable[Any]], Iterator[Text]]
Addresses = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Lesson:
    """What one slice learns from: texts, or `count` captured positions, of which `data` makes an object."""

    texts: tuple[Text, ...] = ()
    count: int = 0
    data: Callable[[], bytes] | None = None

    @property
    def key(self) -> str:
        """A digest of what it says."""
        return sha256(msgspec.json.encode(self.texts) if self.data is None else self.data()).hexdigest()


def from_texts(texts: str | Path | Iterable[Any], read: Reader, tokens: int, seed: int) -> Iterator[Lesson]:
    """Slices of about so many tokens, mixed by `seed`: the corpus over and over, or once if it can be read only once."""
    again = not isinstance(texts, Iterator)
    epoch = 0
    while True:
        given = read_texts(texts) if isinstance(texts, str | Path) else texts
        empty = True
        for _, some in in_slices(_mixed(read(given), np.random.default_rng((seed, epoch))), tokens):
            empty = False
            yield Lesson(some)
        if empty and not epoch:
            raise RequestError("the corpus has no text")
        if not again or empty:
            return
        epoch += 1


def _mixed(texts: Iterable[Text], draw: np.random.Generator) -> Iterator[Text]:
    waiting: list[Text] = []
    for text in texts:
        if len(waiting) < _MIXED:
            waiting.append(text)
            continue
        place = int(draw.integers(_MIXED))
        waiting[place], text = text, waiting[place]
        yield text
    yield from (waiting[place] for place in draw.permutation(len(waiting)))


def from_store(
    store: ActivationStore, wanted: Addresses, tokens: int, most_bytes: int, share: float, seed: int
) -> Iterator[Lesson]:
    """Slices of about so many positions, each in objects of at most `most_bytes`: the store over and over, its shards in random
    order and the positions of several of them mixed by `seed`; each time a `share` of them."""
    size = min(tokens, (most_bytes - _HEADER) // _width(store, wanted))
    if not size:
        raise RequestError(
            "one position of so many sites and layers is larger than the pool takes; train on fewer at once"
        )
    epoch = 0
    while True:
        draw = np.random.default_rng((seed, epoch))
        for shards in _windows(store, draw.permutation(len(store)), size * _SLICES_MIXED):
            places = draw.permutation(_places(shards))
            places = places[: max(1, round(share * len(places)))]
            for some in np.array_split(places, max(1, round(len(places) / size))):
                yield Lesson(count=len(some), data=_gathering(shards, some, wanted))
        epoch += 1


def check_store(store: ActivationStore, wanted: Addresses, card: ModelCard) -> None:
    """Raises RequestError for a store of another model, or without what is to be learned from."""
    index = store.index
    if index.checkpoint != card.digest:
        raise RequestError(
            f"{store.path} holds activations of {index.model} ({index.checkpoint[:12]}), not of {card.name} "
            f"({card.digest[:12]}); capture the corpus anew"
        )
    if not store.tokens:
        raise RequestError(f"{store.path} holds no activations yet")
    for site, layers in wanted.items():
        if site not in index.layers:
            raise RequestError(f"{store.path} has no {site!r}{nearest(site, store.sites)}; capture the corpus with it")
        for layer in layers:
            if layer not in index.layers[site]:
                raise RequestError(
                    f"{store.path} has no layer {layer} of {site!r}{nearest(layer, index.layers[site])}; capture the corpus with it"
                )


def _width(store: ActivationStore, wanted: Addresses) -> int:
    """Bytes of a position."""
    first = store[0]
    values = (first.array(site, layer) for site, layers in wanted.items() for layer in layers)
    return 4 + sum(value.dtype.itemsize * int(np.prod(value.shape[1:])) for value in values)


def _windows(store: ActivationStore, order: Iterable[int], tokens: int) -> Iterator[list[Activations]]:
    """Shards in that order, as many at a time as have so many positions."""
    window: list[Activations] = []
    held = 0
    for number in order:
        window.append(store[int(number)])
        held += store.index.shards[int(number)].tokens
        if held >= tokens:
            yield window
            window, held = [], 0
    if held:
        yield window


def _places(shards: Sequence[Activations]) -> npt.NDArray[np.int64]:
    """[n, 3]: shard, row and number of each captured position."""
    counted = [
        (shard, row, len(one.positions)) for shard, made in enumerate(shards) for row, one in enumerate(made.rows)
    ]
    numbers = [np.arange(count) for *_, count in counted]
    rows = np.repeat([place[:2] for place in counted], [len(one) for one in numbers], axis=0)
    return np.column_stack([rows, np.concatenate(numbers)]).astype(np.int64)


def _gathering(shards: Sequence[Activations], places: npt.NDArray[np.int64], wanted: Addresses) -> Callable[[], bytes]:
    return lambda: _gathered(shards, places, wanted)


def _gathered(shards: Sequence[Activations], places: npt.NDArray[np.int64], wanted: Addresses) -> bytes:
    """The object of some positions, each row's read at once."""
    ordered = places[np.lexsort(places.T[::-1])]
    borders = np.flatnonzero(np.any(np.diff(ordered[:, :2], axis=0), axis=1)) + 1
    pieces: dict[str, list[files.Array]] = {}
    for some in np.split(ordered, borders):
        shard, row, numbers = shards[some[0, 0]], int(some[0, 1]), some[:, 2]
        ids = shard.tensors[f"{row}/token_ids"][shard.tensors[f"{row}/positions"][numbers]]
        pieces.setdefault("ids", []).append(ids.astype(np.int32))
        for site, layers in wanted.items():
            for layer in layers:
                values = shard.array(site, layer, row)[numbers]
                pieces.setdefault(f"{site}/{layer}", []).append(values.reshape(len(values), -1))
    return files.encode({name: np.concatenate(some) for name, some in pieces.items()}, {"kind": "rows"})
