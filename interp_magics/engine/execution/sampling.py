"""The next token: greedy, or seeded sampling that depends on the seed, the row and the step alone."""

import numpy as np
import torch
from torch import Tensor

from ...program.language import Sampling


def greedy(logits: Tensor) -> list[int]:
    """Index of the largest logit of each row of [n, v]; the smallest index among equals, as torch.argmax promises."""
    chosen: list[int] = logits.argmax(1).tolist()
    return chosen


def noise(seed: int, row: int, step: int, tokens: int) -> Tensor:
    """Gumbel noise [tokens] in float64, one for each token id: Philox (Salmon et al. 2011) keyed by seed and row, with the
    step in a word of its counter that the tokens do not reach."""
    key = np.array([seed & 0xFFFFFFFFFFFFFFFF, row], dtype=np.uint64)
    draw = np.random.Generator(np.random.Philox(key=key, counter=np.array([0, step, 0, 0], dtype=np.uint64)))
    return torch.from_numpy(-np.log(draw.standard_exponential(tokens)))


def sample(logits: Tensor, sampling: Sampling, step: int) -> int:
    """A token of the softmax at a temperature, cut to the nucleus of mass `top_p`, by the Gumbel-max trick (Maddison et al.
    2014) in float64.

    Logits that differ in their last digits, as those of one row in two batches do, give another token only where the two
    best scores are as close as that; an inverse CDF over many tokens would change with nearly every digit.
    """
    scores = logits.double() / sampling.temperature
    scores += noise(sampling.seed, sampling.row, step, len(logits)).to(logits.device)
    if sampling.top_p < 1.0:
        scores.masked_fill_(~nucleus(logits, sampling), -torch.inf)
    return int(scores.argmax())


def nucleus(logits: Tensor, sampling: Sampling) -> Tensor:
    """Which tokens [v] are among the fewest, in order of (-logit, id), that reach the mass `top_p`."""
    values, order = logits.double().sort(descending=True, stable=True)
    mass = torch.softmax(values / sampling.temperature, 0)
    before = mass.cumsum(0) - mass
    return torch.zeros_like(logits, dtype=torch.bool).scatter_(0, order, before < sampling.top_p)


def next_tokens(logits: Tensor, samplings: list[Sampling], steps: list[int]) -> list[int]:
    """One token for each row of `logits` [n, v] (float32)."""
    chosen = greedy(logits)
    for i, sampling in enumerate(samplings):
        if sampling.forced is not None:
            chosen[i] = sampling.forced[steps[i]]
        elif sampling.temperature > 0:
            chosen[i] = sample(logits[i], sampling, steps[i])
    return chosen
