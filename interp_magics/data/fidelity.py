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


class _Sums:
    """What is added up, batch by batch."""

    def __init__(self, width: int, latents: int) -> None:
        self.rows, self.active = 0, 0
        self.fired = np.zeros(latents, np.int64)
        self.mean = np.zeros(width)
        self.around = 0.0
        self.error = self.square = self.dot = self.made = self.cosine = self.ratio = 0.0

    def add(self, x: Array64, made: Array64, f: npt.NDArray[np.float32]) -> None:
        error, norms, lengths = x - made, np.linalg.norm(x, axis=1), np.linalg.norm(made, axis=1)
        dots = np.einsum("nd,nd->n", x, made)
        self._spread(x)
        self.error += float((error * error).sum())
        self.square += float((norms * norms).sum())
        self.dot += float(dots.sum())
        self.made += float((lengths * lengths).sum())
        both = norms * lengths
        self.cosine += float(np.divide(dots, both, out=np.zeros_like(dots), where=both > 0).sum())
        self.ratio += float(np.divide(lengths, norms, out=np.zeros_like(norms), where=norms > 0).sum())
        fired = f != 0
        self.fired += fired.sum(0)
        self.active += int(fired.sum())

    def _spread(self, x: Array64) -> None:
        """Squared distances from the mean of all rows so far, joined exactly (Chan, Golub and LeVeque 1983)."""
        count, mean = len(x), x.mean(0)
        apart = mean - self.mean
        total = self.rows + count
        self.around += float(((x - mean) ** 2).sum()) + float(apart @ apart) * self.rows * count / total
        self.mean += apart * (count / total)
        self.rows = total


def fidelity(dictionary: Dictionary, batches: Iterable[npt.ArrayLike]) -> Fidelity:
    """Measure a dictionary on rows: an array [n, d], or batches of such. Transcoders are measured elsewhere, as what they are
    to give is not what they read. Raises RequestError when there is nothing to measure."""
    if dictionary.transcodes:
        raise RequestError("a transcoder is measured against what its layer gives, not against what it reads")
    given: Iterable[npt.ArrayLike] = [batches] if isinstance(batches, np.ndarray) else batches
    sums = _Sums(dictionary.width, dictionary.latents)
    for batch in given:
        rows = np.atleast_2d(np.asarray(batch))
        if rows.size:
            sums.add(rows.astype(np.float64), dictionary.reconstruct(rows).astype(np.float64), dictionary.encode(rows))
    if sums.rows == 0:
        raise RequestError("there are no rows to measure the dictionary on")
    if sums.around == 0:
        raise RequestError("all rows are the same, so there is no variance to explain; measure on more text")
    return _told(sums, dictionary.width)


def _told(sums: _Sums, width: int) -> Fidelity:
    n = sums.rows
    return Fidelity(
        tokens=n,
        fvu=sums.error / sums.around,
        fvu_uncentred=sums.error / sums.square,
        mse=sums.error / n,
        mse_element=sums.error / n / width,
        l0=sums.active / n,
        dead=float((sums.fired == 0).mean()),
        cosine=sums.cosine / n,
        norm_ratio=sums.ratio / n,
        relative_bias=sums.made / sums.dot if sums.dot else float("nan"),
        density=sums.fired / n,
    )
