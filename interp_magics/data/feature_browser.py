"""A table of features to look through: with the dictionary's labels and proofs, a text's own latents, and strengths on demand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .dictionary import Dictionary
from .feature_table import FeatureTable
from .latents import LatentActivations
from .view import Viewed

#: Of texts, given as token ids, and a latent: its activation at each of their tokens.
Strengths = Callable[[Sequence[Sequence[int]], int], Sequence[npt.NDArray[np.float64]]]


@dataclass(frozen=True, eq=False, repr=False)
class FeatureBrowser(Viewed):
    """What a person looks at, latent `opened` first (-1: none). Without `strengths` an example shows only where it is strongest."""

    table: FeatureTable
    dictionary: Dictionary | None = None
    prompt: LatentActivations | None = None
    strengths: Strengths | None = None
    opened: int = -1

    def __repr__(self) -> str:
        labels = 0 if self.dictionary is None else len(self.dictionary.labels)
        verdicts = 0 if self.dictionary is None else len(self.dictionary.verdicts)
        return f"FeatureBrowser({self.table!r}, {labels} labelled, {verdicts} tested)"
