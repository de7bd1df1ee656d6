"""The next token: greedy, or seeded sampling that depends on the seed, the row and the step alone."""

import numpy as np
import torch
from torch import Tensor

from ...program.language import Sampling


def greedy(logits: Tensor) -> list[int]:
    """Index of the largest logit of each row of [n, v]; the smallest index among equals, as torch.argmax promises."""
    chosen: list[int] = logits.argmax(1).tolist()
    return chosen


def uniform(seed: int, row: int, step: int) -> float:
    """Noise in [0, 1): Philox (Salmon et al. 2011) keyed by seed and row, at counter `step`."""
    key = np.array([seed & 0xFFFFFFFFFFFFFFFF, row], dtype=np.uint64)
    return float(np.random.Generator(np.random.Philox(key=key, counter=step)).random())


def sample(logits: Tensor, sampling: Sampling, step: int) -> int:
    """Inverse CDF in float64 over tokens ordered by (-logit, id), cut to the nucleus of mass `top_p`."""
    values, order = logits.double().sort(descending=True, stable=True)
    mass = torch.softmax(values / sampling.temperature, 0).cumsum(0).cpu().numpy()
    kept = int(np.searchsorted(mass, sampling.top_p * mass[-1])) + 1
    kept = min(kept, len(mass))
    point = uniform(sampling.seed, sampling.row, step) * mass[kept - 1]
    return int(order[min(int(np.searchsorted(mass, point, side="right")), kept - 1)])


def next_tokens(logits: Tensor, samplings: list[Sampling], steps: list[int]) -> list[int]:
    """One token for each row of `logits` [n, v] (float32)."""
    chosen = greedy(logits)
    for i, sampling in enumerate(samplings):
        if sampling.forced is not None:
            chosen[i] = sampling.forced[steps[i]]
        elif sampling.temperature > 0:
            chosen[i] = sample(logits[i], sampling, steps[i])
    return chosen
