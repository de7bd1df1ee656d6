"""Several ways to move the same answers: how far each gets for the same side effect, on which items, and at what price."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import RequestError, one_of
from . import bootstrap, files
from .provenance import Provenance
from .view import Viewed

Floats = npt.NDArray[np.float64]


class WayMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way: its `strengths`, whether what lies between two of them exists (`gradual`), how many `texts` were read to make
    it, and the largest |cosine| of two of its vectors that meet at one layer."""

    name: str
    strengths: tuple[float, ...]
    gradual: bool
    texts: int
    cosine: float | None = None


class ComparisonMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plain part. `groups` are names with numbers of items; the first is the one that the ways were made for."""

    ways: tuple[WayMeta, ...]
    groups: tuple[tuple[str, int], ...]
    provenance: Provenance


@dataclass(frozen=True)
class Reached:
    """Where a way gets within a budget: the strength, mean KL of a neutral token's prediction there, m of every item."""

    strength: float
    kl: float
    values: Floats


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Viewed):
    """m = logit(favoured) - logit(other) at every point (the ways' strengths, one way after another): `values` [points,
    items] beside `plain` [items]; `added` [points, items] are the tokens that a point puts before an item.

    Of neutral texts, in nats and summed over `tokens` [texts]: `divergence`, KL(plain || moved), and `surprisal` [points,
    texts] beside `plain_surprisal` [texts].
    """

    meta: ComparisonMeta
    values: files.Array
    plain: files.Array
    added: files.Array
    divergence: files.Array
    surprisal: files.Array
    plain_surprisal: files.Array
    tokens: files.Array

    @property
    def ways(self) -> tuple[str, ...]:
        return tuple(way.name for way in self.meta.ways)

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.meta.groups)

    @property
    def kl(self) -> Floats:
        """Mean KL(plain || moved) of a neutral token's prediction, in nats [points]."""
        return np.asarray(self.divergence.sum(1) / self.tokens.sum())

    @property
    def effects(self) -> Floats:
        """Mean change of m in each group [points, groups]."""
        moved = self.values.astype(np.float64) - self.plain
        return np.stack([moved[:, self._items(group)].mean(1) for group in self.groups], 1)

    @property
    def perplexity(self) -> Floats:
        """Perplexity of the neutral texts, over that without anything [points]."""
        return np.asarray(np.exp((self.surprisal.sum(1) - self.plain_surprisal.sum()) / self.tokens.sum()))

    @property
    def budget(self) -> float:
        """The KL at which ways are compared when none is named: the least that lets all of those that are not gradual act,
        or, when all are, the largest that all of them reach who change neutral texts at all; at strengths above 0."""
        reached = [(way.gradual, self.kl[self._points(way)][np.array(way.strengths) > 0]) for way in self.meta.ways]
        needed = [kl.min() for gradual, kl in reached if not gradual and kl.size]
        most = [kl.max() for _, kl in reached if kl.size and kl.max() > 0]
        return float(max(needed) if needed else min(most, default=0.0))

    def slopes(self, way: str) -> Floats:
        """Change of m for a strength of 1, by the least-squares line through all strengths and 0 [items]."""
        strengths, values = self._curve(self._way(way))
        largest = np.abs(strengths).max()
        centred = (strengths - strengths.mean()) / largest
        return np.asarray(centred @ values / (centred @ centred) / largest)

    def reached(self, way: str, budget: float | None = None) -> Reached:
        """The most that a way moves the items of the first group, by mean m, with a strength of 0 or more and a KL of at
        most `budget`. Between two strengths of a gradual way m is taken to be a straight line, and so is the root of KL,
        which grows with the square of a small change."""
        chosen, most = self._way(way), self.budget if budget is None else float(budget)
        if not most >= 0:
            raise RequestError(f"a budget of KL is 0 or more, not {budget}")
        first = self._items(self.groups[0])
        return max(self._within(chosen, most), key=lambda at: at.values[first].mean())

    def _within(self, way: WayMeta, most: float) -> Iterator[Reached]:
        strengths, values = self._curve(way)
        kl = np.concatenate([[0.0], self.kl[self._points(way)]])
        order = [place for place in np.argsort(strengths) if strengths[place] >= 0]
        for place in order:
            if kl[place] <= most:
                yield Reached(float(strengths[place]), float(kl[place]), values[place])
        for one, other in pairwise(order) if way.gradual else ():
            if min(kl[one], kl[other]) <= most < max(kl[one], kl[other]):
                begin, end = np.sqrt(np.maximum(kl[[one, other]], 0.0))
                share = (np.sqrt(most) - begin) / (end - begin)
                strength = strengths[one] + share * (strengths[other] - strengths[one])
                yield Reached(float(strength), most, values[one] + share * (values[other] - values[one]))

    def table(self, budget: float | None = None) -> Any:
        """A row for each way and group: its mean slope with a 95 % bootstrap interval over items, over that in the first
        group (`ratio`); within the budget the mean change of m (`effect`) and the share of items that still prefer the
        answer that they prefer without (`kept`)."""
        import pandas as pd

        rows = {}
        for way in self.ways:
            slopes, at = self.slopes(way), self.reached(way, budget)
            base = slopes[self._items(self.groups[0])].mean()
            for group, size in self.meta.groups:
                items = self._items(group)
                low, high = bootstrap.interval(slopes[items] @ bootstrap.weights(size))
                rows[way, group] = {
                    "slope": slopes[items].mean(),
                    "ci_low": low,
                    "ci_high": high,
                    "ratio": slopes[items].mean() / base if base else np.nan,
                    "effect": (at.values[items] - self.plain[items]).mean(),
                    "kept": (np.sign(at.values[items]) == np.sign(self.plain[items])).mean(),
                }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["way", "group"])

    def costs(self, budget: float | None = None) -> Any:
        """A row for each way: the strength that the budget allows, KL and perplexity (over that without) there; texts that
        were read to make it, tokens that it adds to an item at most, and the largest |cosine| of two of its vectors."""
        import pandas as pd

        rows = {}
        for way in self.meta.ways:
            at, points = self.reached(way.name, budget), self._points(way)
            strengths = np.array([0.0, *way.strengths])
            order = np.argsort(strengths)
            ratios = np.concatenate([[1.0], self.perplexity[points]])[order]
            rows[way.name] = {
                "strength": at.strength,
                "kl": at.kl,
                "perplexity": float(np.interp(at.strength, strengths[order], ratios)),
                "texts": way.texts,
                "added_tokens": int(self.added[points].max()),
                "cosine": np.nan if way.cosine is None else way.cosine,
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("way")

    def interference(self, together: str, *alone: str) -> Any:
        """Whether ways that act together still do what they do alone, a row for each group: the mean slope of each, their
        sum, that of `together`, and what is missing or too much (`interference`)."""
        import pandas as pd

        if len(alone) < 2:
            raise RequestError("name what acts together, then each way that does, two at least")
        rows = {}
        for group in self.groups:
            items = self._items(group)
            each = {way: float(self.slopes(way)[items].mean()) for way in alone}
            both, total = float(self.slopes(together)[items].mean()), sum(each.values())
            rows[group] = {**each, "sum": total, "together": both, "interference": both - total}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("group")

    def to_pandas(self) -> Any:
        """A row for each way, strength (0 included) and group: mean m, KL, perplexity over that without."""
        import pandas as pd

        rows = []
        for way in self.meta.ways:
            strengths, values = self._curve(way)
            kl = np.concatenate([[0.0], self.kl[self._points(way)]])
            ratio = np.concatenate([[1.0], self.perplexity[self._points(way)]])
            for place in np.argsort(strengths):
                for group in self.groups:
                    m = float(values[place, self._items(group)].mean())
                    rows.append((way.name, strengths[place], group, m, kl[place], ratio[place]))
        return pd.DataFrame(rows, columns=["way", "strength", "group", "propensity", "kl", "perplexity"])

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file that `interp_magics.load` reads."""
        return files.write(path, encode(self))

    def _way(self, name: str) -> WayMeta:
        return self.meta.ways[self.ways.index(one_of("way", name, self.ways))]

    def _points(self, way: WayMeta) -> slice:
        place = self.meta.ways.index(way)
        start = sum(len(other.strengths) for other in self.meta.ways[:place])
        return slice(start, start + len(way.strengths))

    def _items(self, group: str) -> slice:
        place = self.groups.index(one_of("group", group, self.groups))
        start = sum(size for _, size in self.meta.groups[:place])
        return slice(start, start + self.meta.groups[place][1])

    def _curve(self, way: WayMeta) -> tuple[Floats, Floats]:
        """(strengths [S], m [S, items]) of a way; 0, which is nothing at all, comes first."""
        values = np.concatenate([self.plain[None], self.values[self._points(way)]]).astype(np.float64)
        return np.array([0.0, *way.strengths]), values

    def __repr__(self) -> str:
        items = self._items(self.groups[0])
        effects = ((way, self.reached(way).values[items] - self.plain[items]) for way in self.ways)
        shown = ", ".join(f"{way} {effect.mean():+.3f}" for way, effect in effects)
        return f"Comparison({self.groups[0]!r} within a KL of {self.budget:.3g}: {shown})"


KIND = "comparison"
_ARRAYS = ("values", "plain", "added", "divergence", "surprisal", "plain_surprisal", "tokens")


def encode(run: Comparison) -> bytes:
    """A comparison as one safetensors object."""
    return files.encode({name: getattr(run, name) for name in _ARRAYS}, {"kind": KIND, **msgspec.to_builtins(run.meta)})


def decode(tensors: dict[str, files.Array], meta: Any) -> Comparison:
    """What `encode` made."""
    plain = msgspec.convert({k: v for k, v in meta.items() if k != "kind"}, ComparisonMeta)
    return Comparison(plain, *(tensors[name] for name in _ARRAYS))


def merge(parts: Sequence[Comparison]) -> Comparison:
    """One comparison from those of consecutive texts."""
    joined = (np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in _ARRAYS)
    return Comparison(parts[0].meta, *joined)
