"""SteerabilityRun curves: what a vector does to answers at each layer and scale, item by item, and how sure one may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import RequestError, nearest
from . import bootstrap, files
from .provenance import Provenance
from .view import Viewed

Floats = npt.NDArray[np.float64]


class SteerabilityMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plain part: `prompts` and `answers` (favoured, other) are texts for display, by item."""

    site: str
    layers: tuple[int, ...]
    scales: tuple[float, ...]
    curves: tuple[str, ...]
    prompts: tuple[str, ...]
    answers: tuple[tuple[str, str], ...]
    provenance: Provenance


@dataclass(frozen=True, eq=False, repr=False)
class SteerabilityRun(Viewed):
    """m = logit(y+) - logit(y-) in float32: `values` [curves, layers, items, scales]; `answer_ids` [items, 2] int32.

    The slope of an item is that of the least-squares line through its m over the scales (Tan et al. 2024). An item is
    anti-steerable when its slope is below 0. Statistics are over items; the first curve is the vector's own, the others are
    controls of the same length.
    """

    meta: SteerabilityMeta
    values: files.Array
    answer_ids: files.Array

    @property
    def layers(self) -> tuple[int, ...]:
        return self.meta.layers

    @property
    def scales(self) -> Floats:
        return np.asarray(self.meta.scales)

    @property
    def propensity(self) -> files.Array:
        """The vector's own curve [layers, items, scales]."""
        return np.asarray(self.values[0])

    @property
    def controls(self) -> dict[str, files.Array]:
        """The same of the controls, by name."""
        return dict(zip(self.meta.curves[1:], self.values[1:], strict=True))

    @property
    def provenance(self) -> Provenance:
        return self.meta.provenance

    @cached_property
    def slopes(self) -> Floats:
        """[curves, layers, items]: change of m for a scale of 1."""
        centred = self.scales - self.scales.mean()
        return np.asarray(self.values.astype(np.float64) @ centred / (centred @ centred))

    @property
    def per_item(self) -> Floats:
        """Slope of every item [layers, items]."""
        return np.asarray(self.slopes[0])

    @property
    def slope(self) -> Floats:
        """Mean slope [layers]: also the slope of the mean curve."""
        return np.asarray(self.per_item.mean(1))

    @property
    def std(self) -> Floats:
        """Standard deviation of the slope over items [layers]."""
        return (
            np.asarray(self.per_item.std(1, ddof=1))
            if self.per_item.shape[1] > 1
            else np.full(len(self.layers), np.nan)
        )

    @cached_property
    def ci(self) -> Floats:
        """95 % bootstrap interval of the mean slope [layers, 2], over items."""
        return self.interval(0)

    def interval(self, curve: int) -> Floats:
        """95 % bootstrap interval of a curve's mean slope [layers, 2]; the same items are drawn for every curve."""
        return bootstrap.interval(self.slopes[curve] @ self._drawn)

    @cached_property
    def _drawn(self) -> Floats:
        return bootstrap.weights(self.slopes.shape[2])

    @property
    def band(self) -> Floats:
        """95 % bootstrap interval of the vector's mean curve [layers, scales, 2], over items."""
        means = np.moveaxis(self.propensity.astype(np.float64), 1, 2) @ self._drawn
        return bootstrap.interval(means)

    @property
    def mean_curve(self) -> Floats:
        """Mean m over items [curves, layers, scales]."""
        return np.asarray(self.values.mean(2, dtype=np.float64))

    @property
    def r2(self) -> Floats:
        """Share of the mean curve's variance over the scales that a straight line explains [layers]."""
        curve = self.mean_curve[0]
        left = curve - curve.mean(1, keepdims=True)
        line = self.slope[:, None] * (self.scales - self.scales.mean())
        total = (left**2).sum(1)
        return np.where(total > 0, 1 - ((left - line) ** 2).sum(1) / np.where(total > 0, total, 1), np.nan)

    @property
    def spearman(self) -> Floats:
        """Rank correlation of scale and m, mean over items [layers]."""
        ranks, scales = _ranks(self.propensity), _ranks(self.scales)
        ranks, scales = ranks - ranks.mean(-1, keepdims=True), scales - scales.mean()
        size = np.sqrt((ranks**2).sum(-1) * (scales**2).sum())
        return np.asarray(np.where(size > 0, ranks @ scales / np.where(size > 0, size, 1), 0.0).mean(1))

    @property
    def monotonic(self) -> npt.NDArray[np.bool_]:
        """Whether the mean curve rises from each scale to the next [layers]."""
        ordered = self.mean_curve[0][:, np.argsort(self.scales)]
        return np.asarray((np.diff(ordered, axis=1) > 0).all(1))

    @property
    def anti_steerable(self) -> Floats:
        """Share of items whose slope is below 0 [layers]."""
        return np.asarray((self.per_item < 0).mean(1))

    @property
    def label_bias(self) -> Floats:
        """How much steeper items are whose favoured answer is the commoner token, than those where it is another [layers]:
        0 when a vector moves the meaning and not the letter; nan when all favour one token."""
        favoured = self.answer_ids[:, 0]
        ids, counts = np.unique(favoured, return_counts=True)
        if len(ids) < 2:
            return np.full(len(self.layers), np.nan)
        common = favoured == ids[counts.argmax()]
        return np.asarray(self.per_item[:, common].mean(1) - self.per_item[:, ~common].mean(1))

    @property
    def best(self) -> int:
        """The layer whose mean slope is steepest."""
        return self.layers[int(self.slope.argmax())]

    def at(self, layer: int) -> int:
        """The place of a layer. Raises RequestError with the nearest ones."""
        if layer not in self.layers:
            raise RequestError(f"layer {layer} was not measured{nearest(layer, self.layers)}")
        return self.layers.index(layer)

    def table(self) -> Any:
        """A row for each layer: slope with its interval, spread, shape, share that turns away, controls."""
        import pandas as pd

        found = {
            "slope": self.slope,
            "ci_low": self.ci[:, 0],
            "ci_high": self.ci[:, 1],
            "std": self.std,
            "r2": self.r2,
            "spearman": self.spearman,
            "monotonic": self.monotonic,
            "anti_steerable": self.anti_steerable,
            "label_bias": self.label_bias,
        }
        found |= {f"{name}_slope": self.slopes[i].mean(1) for i, name in enumerate(self.meta.curves[1:], 1)}
        return pd.DataFrame(found, index=pd.Index(self.layers, name="layer"))

    def to_pandas(self) -> Any:
        """A row for each curve, layer, item and scale."""
        import pandas as pd

        names = [self.meta.curves, self.layers, range(len(self.meta.prompts)), self.meta.scales]
        index = pd.MultiIndex.from_product(names, names=["curve", "layer", "item", "scale"])
        return pd.DataFrame({"propensity": self.values.ravel()}, index=index).reset_index()

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file that `interp_magics.load` reads."""
        return files.write(path, encode(self))

    def __repr__(self) -> str:
        place = self.at(self.best)
        low, high = self.ci[place]
        return (
            f"SteerabilityRun({len(self.meta.prompts)} items, {len(self.layers)} layers, {len(self.scales)} scales; steepest at "
            f"layer {self.best}: {self.slope[place]:.3f} [{low:.3f}, {high:.3f}], R² {self.r2[place]:.3f})"
        )


def _ranks(values: npt.NDArray[Any]) -> Floats:
    """Ranks along the last axis, those of equals their mean."""
    less = (values[..., :, None] > values[..., None, :]).sum(-1)
    same = (values[..., :, None] == values[..., None, :]).sum(-1)
    return np.asarray(less + (same - 1) / 2, np.float64)


KIND = "steerability"


def encode(run: SteerabilityRun) -> bytes:
    """SteerabilityRun curves as one safetensors object."""
    arrays = {"values": np.asarray(run.values, np.float32), "answer_ids": np.asarray(run.answer_ids, np.int32)}
    return files.encode(arrays, {"kind": KIND, **msgspec.to_builtins(run.meta)})


def decode(tensors: dict[str, files.Array], meta: Any) -> SteerabilityRun:
    """What `encode` made."""
    plain = msgspec.convert({k: v for k, v in meta.items() if k != "kind"}, SteerabilityMeta)
    return SteerabilityRun(plain, tensors["values"], tensors["answer_ids"])


def merge(parts: Sequence[SteerabilityRun]) -> SteerabilityRun:
    """One run from those of consecutive items."""
    first = parts[0].meta
    meta = msgspec.structs.replace(
        first,
        prompts=tuple(prompt for part in parts for prompt in part.meta.prompts),
        answers=tuple(answer for part in parts for answer in part.meta.answers),
    )
    values = np.concatenate([part.values for part in parts], axis=2)
    return SteerabilityRun(meta, values, np.concatenate([part.answer_ids for part in parts]))
