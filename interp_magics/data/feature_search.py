"""Which latents tell two sets of texts apart, with the size of the difference and how likely chance is to make it.

Texts are what is counted, not tokens: each gives one number for each latent (its largest activation, its mean, or its last).
    area             probability that a positive text has more of the latent than a negative one, ties half: .5 is nothing,
                     1 a perfect sign of the positive texts, 0 of the negative ones (the area under the ROC curve)
    p                two-sided, of Mann and Whitney's test (normal approximation, corrected for ties)
    q                the false discovery rate among all latents at which this one is found (Benjamini and Hochberg 1995)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import one_of
from . import files
from .provenance import Provenance

KIND = "feature_search"
COLUMNS = ("area", "q", "p", "mean_positive", "mean_negative", "active_positive", "active_negative")


class SearchMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plain part. `counts` are the positive and the negative texts."""

    site: str
    layer: int
    dictionary: str
    over: str
    counts: tuple[int, int]
    provenance: Provenance


@dataclass(frozen=True, eq=False, repr=False)
class FeatureSearch:
    """The columns above and means and shares of active texts on both sides, each [m]."""

    meta: SearchMeta
    columns: Mapping[str, files.Array]

    def found(self, rate: float = 0.05, side: str = "positive", most: int | None = None) -> npt.NDArray[np.int64]:
        """Latents with more activation in the texts of one side at a false discovery rate: those that tell the sides apart best come
        first, and among equal ones those whose mean differs most."""
        area, q = self.columns["area"], self.columns["q"]
        apart = area - 0.5 if one_of("side", side, ("positive", "negative")) == "positive" else 0.5 - area
        chosen = np.flatnonzero((q <= rate) & (apart > 0))
        differs = np.abs(self.columns["mean_positive"] - self.columns["mean_negative"])
        order = np.lexsort((chosen, -differs[chosen], -apart[chosen].round(9)))
        return np.asarray(chosen[order][:most], np.int64)

    def to_pandas(self) -> Any:
        """All latents, in the order of `found`."""
        import pandas as pd

        table = pd.DataFrame({name: self.columns[name] for name in COLUMNS})
        table.index.name = "latent"
        differs = np.abs(table["mean_positive"] - table["mean_negative"])
        return table.iloc[np.lexsort((-differs, -np.abs(table["area"] - 0.5).round(9)))]

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file that `interp_magics.load` reads."""
        return files.write(path, encode(self))

    def __repr__(self) -> str:
        positive, negative = self.meta.counts
        more, less = (len(self.found(side=side)) for side in ("positive", "negative"))
        best = ", ".join(f"{latent} ({self.columns['area'][latent]:.2f})" for latent in self.found(most=5))
        return (
            f"FeatureSearch({positive} positive and {negative} negative texts; at 5 % false discoveries {more} latents have more of the "
            f"positive ones, {less} less{'; first ' + best if best else ''})"
        )


def encode(search: FeatureSearch) -> bytes:
    """As one safetensors object."""
    return files.encode(
        {name: np.asarray(value, np.float64) for name, value in search.columns.items()},
        {"kind": KIND, **msgspec.to_builtins(search.meta)},
    )


def decode(tensors: dict[str, files.Array], meta: Any) -> FeatureSearch:
    """What `encode` made."""
    return FeatureSearch(msgspec.convert({k: v for k, v in meta.items() if k != "kind"}, SearchMeta), tensors)
