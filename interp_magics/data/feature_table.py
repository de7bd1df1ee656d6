"""What every latent of a dictionary (or neuron of a site) is active on: one row each, over a corpus.

Over N tokens (special tokens left out), with f the latent's activation:
    density     share of tokens where f > 0                 mean   mean of f where it is above 0
    max         the largest f                               histogram  of f in powers of two
    examples    the strongest position of each of several texts; samples: positions drawn at random from each bin
    tokens      the input tokens over which f adds up to most (of each latent four times as many are kept while
                reading, so that the sums of the largest are exact but in odd cases)
    coherence   mean cosine between the directions of two different tokens at which it is active, weighted by f, the dictionary's bias
                as origin: 1 when they all look alike, about 0 when they have nothing in common. polysemanticity = 1 - coherence.
    promotes    the tokens whose logits the latent's decoder row raises most directly (through the linear part of the final norm, less the
    suppresses  mean over the vocabulary; per unit of activation at a stream of root mean square 1), and lowers most
    correlated  cosine over tokens between the activations of two latents
Coherence and correlation are estimated from random projections (32 and 128 dimensions; errors about .1 for latents that are active
often enough).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import RequestError
from ..program.latents import BINS, LOWEST, SPARE, Kept
from ..program.numbers import integer
from . import files
from .dictionary import Dictionary
from .provenance import Provenance
from .view import Viewed

KIND = "feature_table"
_EFFECTS = ("effect_ids", "effect_values")
_AT_ONCE = 2048
Floats = npt.NDArray[np.float64]


class FeatureMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plain part. `dictionary` is the digest of its object, "" for neurons; `strings` say how tokens read."""

    site: str
    layer: int
    dictionary: str
    kept: Kept
    tokens: int
    texts: int
    strings: dict[int, str]
    provenance: Provenance


@dataclass(frozen=True)
class Example:
    """A text in which a latent is active: `ids` and `tokens` of the piece, `position` in it where it is most (or was drawn), with
    which `activation`; `text` is its number in the corpus."""

    text: int
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    position: int
    activation: float

    def window(self, around: int = 12) -> str:
        """The tokens near the position, which is marked."""
        start, stop = max(0, self.position - around), self.position + around + 1
        shown = list(self.tokens[start:stop])
        shown[self.position - start] = f"«{shown[self.position - start]}»"
        return "".join(shown).replace("\n", "↵")


@dataclass(frozen=True)
class Feature:
    """One latent: the numbers above, its examples and tokens."""

    latent: int
    density: float
    mean: float
    max: float
    coherence: float
    histogram: dict[float, int]
    tokens: tuple[tuple[str, float, int], ...]
    promotes: tuple[tuple[str, float], ...]
    suppresses: tuple[tuple[str, float], ...]
    examples: tuple[Example, ...]
    samples: tuple[Example, ...]

    def __repr__(self) -> str:
        numbers = (
            f"density {self.density:.2%}, mean {self.mean:.3g}, max {self.max:.3g}, coherence {self.coherence:.2f}"
        )
        tokens = " ".join(repr(token) for token, _, _ in self.tokens[:6])
        says = " ".join(repr(token) for token, _ in self.promotes[:6])
        tokens += f"; promotes {says}" if says else ""
        lines = [f"  {one.activation:7.3g}  {one.window()}" for one in self.examples[:5]]
        return "\n".join([f"Feature({self.latent}: {numbers}; tokens {tokens})", *lines])


@dataclass(frozen=True, eq=False, repr=False)
class FeatureTable(Viewed):
    """A row for each latent; `table[latent]` is a Feature. The arrays are in `tensors`: count, total, squares [m], histogram [m, 24],
    and the lists behind examples and tokens."""

    meta: FeatureMeta
    tensors: Mapping[str, files.Array]

    @property
    def latents(self) -> int:
        return len(self.tensors["count"])

    def check_of(self, sae: Dictionary) -> None:
        """Raise RequestError for a dictionary that the table was not read with."""
        if self.meta.dictionary != sae.stored[0].weights[0].digest:
            raise RequestError("this table was read with another dictionary; read one with this")

    @property
    def density(self) -> Floats:
        """Share of tokens where each latent is active [m]."""
        return np.asarray(self.tensors["count"] / max(1, self.meta.tokens))

    @property
    def mean(self) -> Floats:
        """Mean activation where it is active [m], 0 where it never is."""
        count = self.tensors["count"]
        return np.asarray(self.tensors["total"] / np.maximum(count, 1))

    @cached_property
    def max(self) -> Floats:
        """The largest activation [m]."""
        made = np.zeros(self.latents)
        np.maximum.at(made, self.tensors["top_key"], self.tensors["top_value"])
        return made

    @cached_property
    def coherence(self) -> Floats:
        """The weighted mean cosine [m]; nan for latents that were active less than twice."""
        total, squares = np.asarray(self.tensors["total"]), np.asarray(self.tensors["squares"])
        length = np.square(np.asarray(self.tensors["directions"], np.float64)).sum(1)
        apart = total**2 - squares
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.where(self.tensors["count"] > 1, (length - squares) / apart, np.nan)
        return np.clip(found, -1, 1)

    @cached_property
    def _bounds(self) -> npt.NDArray[np.int64]:
        """Where the tokens of each latent begin, and the last's end [m + 1]."""
        return np.searchsorted(self.tensors["token_key"] >> 32, np.arange(self.latents + 1))

    def leading_tokens(self, most: int) -> npt.NDArray[np.int64]:
        """Ids of the tokens over which each latent adds up to most [m, most], -1 for none."""
        return _leading(self.tensors["token_key"], self._bounds, min(most, self.meta.kept.tokens))

    def promoted_tokens(self, most: int) -> npt.NDArray[np.int64]:
        """Ids of the tokens that each latent promotes most [m, most]; no column where it does not write to the stream."""
        if "effect_ids" not in self.tensors:
            return np.zeros((self.latents, 0), np.int64)
        ids = np.asarray(self.tensors["effect_ids"], np.int64)
        return ids[:, : min(most, ids.shape[1] // 2)]

    def correlated(self, latent: int, most: int = 10) -> list[tuple[int, float]]:
        """The latents that are active where this one is, with the cosine of their activations over tokens."""
        places = np.asarray(self.tensors["places"], np.float64)
        norms = np.sqrt(np.asarray(self.tensors["squares"]))
        here = self._number(latent)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosines = np.nan_to_num(places @ places[here] / (norms * norms[here]))
        cosines[here] = -np.inf
        order = np.argsort(-cosines, kind="stable")[:most]
        return [(int(one), float(np.clip(cosines[one], -1, 1))) for one in order if cosines[one] > 0]

    def clusters(self, least: float = 0.5) -> list[npt.NDArray[np.int64]]:
        """Latents that are active together, the largest cluster first: two are in one where a chain of latents joins them, each
        with a cosine of at least `least` to the next. Latents alone are left out."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        places = np.asarray(self.tensors["places"], np.float32)
        norms = np.sqrt(np.asarray(self.tensors["squares"], np.float32))
        unit = np.divide(places, norms[:, None], out=np.zeros_like(places), where=norms[:, None] > 0)
        pairs = [_near(unit, start, least) for start in range(0, self.latents, _AT_ONCE)]
        rows, columns = (np.concatenate(part) for part in zip(*pairs, strict=True))
        graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(self.latents, self.latents))
        _, number = connected_components(graph, directed=False)
        order = np.argsort(number, kind="stable")
        found = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
        return sorted((one for one in found if len(one) > 1), key=lambda one: (-len(one), int(one[0])))

    def to_pandas(self, latents: Sequence[int] | npt.NDArray[np.int64] | None = None) -> Any:
        """A row for each latent, or for those named: density, mean, max, coherence, and the tokens that it is active on most."""
        import pandas as pd

        chosen = np.arange(self.latents) if latents is None else np.asarray(latents, np.int64)
        tokens = [" ".join(token for token, _, _ in self._tokens(int(latent))[:5]) for latent in chosen]
        columns = {name: getattr(self, name)[chosen] for name in ("density", "mean", "max", "coherence")}
        return pd.DataFrame({**columns, "tokens": tokens}, index=pd.Index(chosen, name="latent"))

    def __len__(self) -> int:
        return self.latents

    def __getitem__(self, latent: int) -> Feature:
        number = self._number(latent)
        histogram = {
            2.0 ** (LOWEST + place): int(count)
            for place, count in enumerate(self.tensors["histogram"][number])
            if count
        }
        return Feature(
            number,
            float(self.density[number]),
            float(self.mean[number]),
            float(self.max[number]),
            float(self.coherence[number]),
            histogram,
            tuple(self._tokens(number)),
            *self._effects(number),
            tuple(self._examples("top", number, number + 1)),
            tuple(self._examples("samples", number * BINS, (number + 1) * BINS)),
        )

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file that `interp_magics.load` reads."""
        return files.write(path, encode(self))

    def __repr__(self) -> str:
        what = "latents" if self.meta.dictionary else "neurons"
        silent = float((self.tensors["count"] == 0).mean())
        return (
            f"FeatureTable({self.latents:,} {what} of {self.meta.site}[{self.meta.layer}] over {self.meta.tokens:,} tokens of "
            f"{self.meta.texts:,} texts; median density {np.median(self.density):.2%}, {silent:.1%} never active)"
        )

    def _number(self, latent: int) -> int:
        number = integer("latent", latent)
        if not 0 <= number < self.latents:
            raise RequestError(f"there is no latent {number}: there are 0 to {self.latents - 1}")
        return number

    def _tokens(self, latent: int) -> list[tuple[str, float, int]]:
        start, stop = (int(bound) for bound in self._bounds[latent : latent + 2])
        stop = min(stop, start + self.meta.kept.tokens)
        strings = self.meta.strings
        return [
            (strings[int(key & 0xFFFFFFFF)], float(total), int(count))
            for key, total, count in zip(
                *(self.tensors[f"token_{name}"][start:stop] for name in ("key", "total", "count")), strict=True
            )
        ]

    def _effects(self, latent: int) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]:
        """What the latent promotes and suppresses; nothing where it does not write to the stream."""
        if "effect_ids" not in self.tensors:
            return (), ()
        pairs = zip(self.tensors["effect_ids"][latent], self.tensors["effect_values"][latent], strict=True)
        told = [(self.meta.strings[int(token)], float(value)) for token, value in pairs]
        return tuple(told[: len(told) // 2]), tuple(told[len(told) // 2 :])

    def _examples(self, which: str, first: int, last: int) -> list[Example]:
        start, stop = np.searchsorted(self.tensors[f"{which}_key"], [first, last])
        columns = (self.tensors[f"{which}_{name}"][start:stop] for name in ("piece", "position", "value"))
        return [
            self._example(int(piece), int(position), float(value))
            for piece, position, value in zip(*columns, strict=True)
        ]

    def _example(self, piece: int, position: int, value: float) -> Example:
        start, stop = self.tensors["piece_offsets"][piece : piece + 2]
        ids = tuple(int(token) for token in self.tensors["piece_ids"][start:stop])
        tokens = tuple(self.meta.strings[token] for token in ids)
        return Example(int(self.tensors["piece_text"][piece][0]), ids, tokens, position, value)


def encode(table: FeatureTable) -> bytes:
    """As one safetensors object."""
    return files.encode(table.tensors, {"kind": KIND, **msgspec.to_builtins(table.meta, str_keys=True)})


def decode(tensors: dict[str, files.Array], meta: Any) -> FeatureTable:
    """What `encode` made."""
    plain = msgspec.convert({k: v for k, v in meta.items() if k != "kind"}, FeatureMeta, strict=False)
    return FeatureTable(plain, tensors)


def merge(parts: Sequence[FeatureTable]) -> FeatureTable:
    """One table from those of different texts, as if they had been read together."""
    first = parts[0]
    if len(parts) == 1:
        return first
    tensors: dict[str, files.Array] = {
        name: sum((part.tensors[name] for part in parts[1:]), first.tensors[name])
        for name in ("count", "total", "squares", "histogram", "directions", "places")
    }
    bases = np.cumsum([0, *(len(part.tensors["piece_text"]) for part in parts)])
    for which, most in (("top", first.meta.kept.top), ("samples", first.meta.kept.samples)):
        tensors |= _few(parts, which, most, bases)
    tensors |= next(
        ({name: part.tensors[name] for name in _EFFECTS} for part in parts if _EFFECTS[0] in part.tensors), {}
    )
    tensors |= _token_sums(parts, SPARE * first.meta.kept.tokens)
    tensors |= _shown(parts, tensors)
    strings = {token: text for part in parts for token, text in part.meta.strings.items()}
    meta = msgspec.structs.replace(
        first.meta,
        tokens=sum(part.meta.tokens for part in parts),
        texts=sum(part.meta.texts for part in parts),
        strings=strings,
    )
    return FeatureTable(meta, tensors)


def _few(parts: Sequence[FeatureTable], which: str, most: int, bases: files.Array) -> dict[str, files.Array]:
    names = ("key", "order", "piece", "position", "value")
    columns = {name: np.concatenate([part.tensors[f"{which}_{name}"] for part in parts]) for name in names}
    shift = np.repeat(bases[:-1], [len(part.tensors[f"{which}_key"]) for part in parts])
    columns["piece"] = columns["piece"] + shift
    order = _lowest(columns["key"], columns["order"], most)
    return {f"{which}_{name}": values[order] for name, values in columns.items()}


def _token_sums(parts: Sequence[FeatureTable], most: int) -> dict[str, files.Array]:
    keys, totals, counts = (
        np.concatenate([part.tensors[f"token_{name}"] for part in parts]) for name in ("key", "total", "count")
    )
    unique, place = np.unique(keys, return_inverse=True)
    total, count = np.zeros(len(unique)), np.zeros(len(unique), np.int64)
    np.add.at(total, place, totals)
    np.add.at(count, place, counts)
    order = _lowest(unique >> 32, -total, most)
    return {
        "token_key": unique[order],
        "token_total": total[order].astype(np.float32),
        "token_count": count[order].astype(np.int32),
    }


def _shown(parts: Sequence[FeatureTable], tensors: Mapping[str, files.Array]) -> dict[str, files.Array]:
    """The pieces that an example still names, and the examples with their new numbers."""
    used = np.unique(np.concatenate([tensors["top_piece"], tensors["samples_piece"]]))
    texts = np.concatenate([part.tensors["piece_text"] for part in parts])[used]
    rows = [
        part.tensors["piece_ids"][start:stop]
        for part in parts
        for start, stop in zip(part.tensors["piece_offsets"][:-1], part.tensors["piece_offsets"][1:], strict=True)
    ]
    kept = [rows[piece] for piece in used]
    made: dict[str, files.Array] = {
        f"{which}_piece": np.searchsorted(used, tensors[f"{which}_piece"]).astype(np.int32)
        for which in ("top", "samples")
    }
    made["piece_text"] = texts
    made["piece_ids"] = np.concatenate(kept) if kept else np.zeros(0, np.int32)
    made["piece_offsets"] = np.cumsum([0, *map(len, kept)]).astype(np.int64)
    return made


def _near(unit: Floats | files.Array, start: int, least: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs of latents, the first of them from `start` on and lower than the second, with a cosine of at least `least`."""
    rows, columns = np.nonzero(unit[start : start + _AT_ONCE] @ unit[start:].T >= least)
    upper = rows < columns
    return rows[upper] + start, columns[upper] + start


def _leading(keys: files.Array, bounds: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """The first tokens of each latent's list."""
    places = bounds[:-1, None] + np.arange(most)
    there = places < bounds[1:, None]
    ids = np.asarray(keys & 0xFFFFFFFF, np.int64)
    return np.where(there, ids[np.minimum(places, len(ids) - 1)], -1) if len(ids) else np.full(places.shape, -1)


def _lowest(key: files.Array, order: files.Array, most: int) -> files.Array:
    """Which entries are among the `most` of the lowest order of their key."""
    places = np.lexsort((order, key))
    keys = key[places]
    begins = np.r_[True, keys[1:] != keys[:-1]] if len(keys) else np.zeros(0, bool)
    numbers = np.arange(len(keys))
    first = np.maximum.accumulate(np.where(begins, numbers, 0))
    return np.asarray(places[numbers - first < most])
