"""Sampling depends on the seed, the row and the step, and follows the distribution."""

import numpy as np
import torch
from scipy import stats

from interp_magics.engine.execution.sampling import greedy, noise, sample
from interp_magics.program.language import Sampling


def test_noise_is_keyed_by_seed_row_and_step_alone():
    assert torch.equal(noise(7, 0, 3, 10), noise(7, 0, 3, 10))
    assert torch.equal(noise(7, 0, 3, 5000)[:10], noise(7, 0, 3, 10))
    drawn = torch.stack([noise(s, r, t, 5000) for s in (1, 2) for r in (0, 1) for t in (0, 1, 2)])
    assert len(drawn.unique()) == drawn.numel()
    assert (torch.corrcoef(drawn) - torch.eye(12)).abs().max() < 0.07
    assert stats.kstest(drawn.flatten().numpy(), stats.gumbel_r.cdf).pvalue > 1e-3


def test_what_two_batches_round_differently_does_not_change_the_token():
    draw = torch.Generator().manual_seed(1)
    for step in range(200):
        logits = 2 * torch.randn(20000, generator=draw)
        other = logits + 1e-5 * torch.randn(20000, generator=draw)
        assert sample(logits, Sampling(1, 1.0, seed=5), step) == sample(other, Sampling(1, 1.0, seed=5), step)


def test_frequencies_follow_the_softmax():
    logits = torch.tensor([1.0, 0.0, 2.0, -1.0])
    drawn = [sample(logits, Sampling(1, 1.0, seed=5), step) for step in range(4000)]
    counts = np.bincount(drawn, minlength=4)
    expected = torch.softmax(logits.double(), 0).numpy() * len(drawn)
    assert stats.chisquare(counts, expected).pvalue > 1e-3


def test_the_nucleus_holds_the_fewest_tokens_that_reach_its_mass():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    drawn = {sample(logits, Sampling(1, 1.0, top_p=0.7, seed=1), step) for step in range(300)}
    assert drawn == {0, 1}


def test_greedy_takes_the_smallest_of_equal_ids():
    assert greedy(torch.tensor([[0.0, 3.0, 3.0], [2.0, 2.0, 2.0]])) == [1, 0]
