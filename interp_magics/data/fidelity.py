"""How well a dictionary stands for activations: numbers that do not depend on how the rows were batched.

Sums are taken in float64 over all rows; the mean that FVU is measured against is that of all of them. With x a row, x^ its
reconstruction, e = x - x^ and f its activations, over N rows:
    fvu            sum |e|^2 / sum |x - mean(x)|^2           (1 for the best constant; a constant error counts)
    fvu_uncentred  sum |e|^2 / sum |x|^2
    mse            mean |e|^2 of a row; mse_element the same over the width
    l0             mean number of latents that are not 0
    density        for each latent the share of rows in which it is not 0; dead is the share of latents that never are, in N rows
    cosine         mean of x . x^ / (|x| |x^|); norm_ratio mean |x^| / |x|, below 1 where activations shrink
    relative_bias  mean |x^|^2 / mean x . x^                  (1 when x^ is neither too long nor too short; arXiv:2404.16014)
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..errors import RequestError
from .dictionary import Dictionary

Array64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fidelity:
    """The numbers above over `tokens` rows; `density` is [m]."""

    tokens: int
    fvu: float
    fvu_uncentred: float
    mse: float
    mse_element: float
    l0: float
    dead: float
    cosine: float
    norm_ratio: float
    relative_bias: float
    density: Array64 = field(repr=False)

    def __str__(self) -> str:
        return (
            f"over {self.tokens:,} tokens: FVU {self.fvu:.4f} (uncentred {self.fvu_uncentred:.4f}), L0 {self.l0:.1f}, "
            f"{100 * self.dead:.1f} % of latents never active, cosine {self.cosine:.3f}, norm ratio {self.norm_ratio:.3f}"
        )


@dataclass
class Sums:
    """What is added up, batch by batch: `rows`, their `mean` [d] and squared distances `around` it, and the sums that the
    numbers above are made of; `fired` [m] in how many rows each latent was not 0."""

    rows: int
    mean: Array64
    around: float
    error: float
    square: float
    made: float
    dot: float
    cosine: float
    ratio: float
    fired: npt.NDArray[np.int64]

    @classmethod
    def begin(cls, width: int, latents: int) -> "Sums":
        """Nothing so far, of reconstructions of that width."""
        return cls(0, np.zeros(width), *(0.0,) * 7, np.zeros(latents, np.int64))

    def add(self, x: Array64, made: Array64, f: npt.NDArray[np.float32]) -> None:
        error, norms, lengths = x - made, np.linalg.norm(x, axis=1), np.linalg.norm(made, axis=1)
        dots = np.einsum("nd,nd->n", x, made)
        self._spread(len(x), x.mean(0), float(((x - x.mean(0)) ** 2).sum()))
        self.error += float((error * error).sum())
        self.square += float((norms * norms).sum())
        self.dot += float(dots.sum())
        self.made += float((lengths * lengths).sum())
        both = norms * lengths
        self.cosine += float(np.divide(dots, both, out=np.zeros_like(dots), where=both > 0).sum())
        self.ratio += float(np.divide(lengths, norms, out=np.zeros_like(norms), where=norms > 0).sum())
        self.fired += (f != 0).sum(0)

    def join(self, other: "Sums") -> None:
        """Add the sums of other rows."""
        self._spread(other.rows, other.mean, other.around)
        for name in ("error", "square", "made", "dot", "cosine", "ratio"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.fired += other.fired

    def _spread(self, count: int, mean: Array64, around: float) -> None:
        """Squared distances from the mean of all rows so far, joined exactly (Chan, Golub and LeVeque 1983)."""
        if not count:
            return
        apart = mean - self.mean
        total = self.rows + count
        self.around += around + float(apart @ apart) * self.rows * count / total
        self.mean += apart * (count / total)
        self.rows = total


def fidelity(dictionary: Dictionary, batches: Iterable[npt.ArrayLike]) -> Fidelity:
    """Measure a dictionary on rows: an array [n, d], or batches of such. Transcoders are measured elsewhere, as what they are
    to give is not what they read. Raises RequestError when there is nothing to measure."""
    if dictionary.transcodes:
        raise RequestError("a transcoder is measured against what its layer gives, not against what it reads")
    given: Iterable[npt.ArrayLike] = [batches] if isinstance(batches, np.ndarray) else batches
    sums = Sums.begin(dictionary.width, dictionary.latents)
    for batch in given:
        rows = np.atleast_2d(np.asarray(batch))
        if rows.size:
            sums.add(rows.astype(np.float64), dictionary.reconstruct(rows).astype(np.float64), dictionary.encode(rows))
    return told(sums)


def told(sums: Sums) -> Fidelity:
    """The numbers that sums come to. Raises RequestError when there is nothing to measure."""
    if sums.rows == 0:
        raise RequestError("there are no rows to measure the dictionary on")
    if sums.around == 0:
        raise RequestError("all rows are the same, so there is no variance to explain; measure on more text")
    n, width = sums.rows, len(sums.mean)
    return Fidelity(
        tokens=n,
        fvu=sums.error / sums.around,
        fvu_uncentred=sums.error / sums.square,
        mse=sums.error / n,
        mse_element=sums.error / n / width,
        l0=float(sums.fired.sum()) / n,
        dead=float((sums.fired == 0).mean()),
        cosine=sums.cosine / n,
        norm_ratio=sums.ratio / n,
        relative_bias=sums.made / sums.dot if sums.dot else float("nan"),
        density=sums.fired / n,
    )
