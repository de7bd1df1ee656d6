"""Resampling items with replacement, the same draws for everything that is compared."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000


@lru_cache(maxsize=4)
def weights(items: int) -> Floats:
    """[items, resamples]: the weight of each item in each resample; a mean over items is `values @ weights`."""
    drawn = np.random.default_rng(0).integers(0, items, (RESAMPLES, items))
    made = np.asarray(np.stack([np.bincount(each, minlength=items) for each in drawn], 1) / items)
    made.setflags(write=False)
    return made


def interval(means: Floats) -> Floats:
    """95 % interval [..., 2] of means [..., resamples]."""
    return np.asarray(np.moveaxis(np.percentile(means, [2.5, 97.5], axis=-1), 0, -1))
