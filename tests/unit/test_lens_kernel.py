"""The kernel against a float64 computation of the whole matrix of logits, whatever the tiles."""

import pytest
import torch

from interp_magics.engine import lens
from interp_magics.engine.readout import Readout


@pytest.mark.parametrize(("rows", "tile"), [(1, 16), (7, 64), (512, 2048), (3, 1000)])
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_tiles_and_chunks_do_not_matter(monkeypatch, rows, tile, softcap):
    monkeypatch.setattr(lens, "ROWS_PER_CHUNK", rows)
    monkeypatch.setattr(lens, "VOCABULARY_PER_TILE", tile)
    torch.manual_seed(1)
    sets, points, d, vocabulary = 3, 11, 16, 515
    hidden, weight, bias = torch.randn(sets, points, d), torch.randn(vocabulary, d), torch.randn(vocabulary)
    readout = Readout(torch.nn.Identity(), weight, bias, 0.7, softcap, len(weight))
    track = torch.tensor([5, 514, 0])
    source = lens.Source(sets, points, lambda a, b: hidden[:, a:b], lambda a, b: hidden[-1, a:b])
    made = lens.decode(source, readout, lens.LensRequest(6, track, True, True))
    logits = (hidden.double() @ weight.double().T + bias.double()) * 0.7
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    logp = logits.log_softmax(-1)
    p = logp.exp()
    assert (made.top_logprobs.double() - logp.topk(6).values).abs().max() < 1e-5
    assert torch.equal(made.top_ids.long(), logp.topk(6).indices)
    assert (made.entropy.double() + (p * logp).sum(-1)).abs().max() < 1e-5
    assert (made.kl_final.double() - (p[-1] * (logp[-1] - logp)).sum(-1)).abs().max() < 1e-5
    assert (made.tracked_logprobs.double() - logp[..., track]).abs().max() < 1e-5
    ranks = (logp.unsqueeze(-1) > logp[..., track].unsqueeze(-2)).sum(-2)
    assert (made.tracked_ranks - ranks).abs().max() <= 1


def test_log_probabilities_hold_when_logits_are_far_from_zero():
    weight = torch.tensor([[1000.0], [999.0], [-1000.0]])
    readout = Readout(torch.nn.Identity(), weight, None, 1.0, None, len(weight))
    rows = torch.ones(1, 1, 1)
    source = lens.Source(1, 1, lambda a, b: rows, lambda a, b: rows[0])
    made = lens.decode(source, readout, lens.LensRequest(3, torch.tensor([], dtype=torch.long), True, True))
    exact = torch.tensor([1000.0, 999.0, -1000.0], dtype=torch.float64).log_softmax(0)
    assert (made.top_logprobs[0, 0].double() - exact).abs().max() < 1e-3
    assert torch.isfinite(made.entropy).all() and torch.isfinite(made.kl_final).all()


def test_the_workspace_does_not_grow_with_layers_positions_or_vocabulary():
    """Beyond rows and results, memory is a few tiles: the bytes of the largest live tensors that decoding makes."""

    def peak(sets, points, vocabulary):
        d = 32
        hidden = torch.zeros(sets, points, d)
        readout = Readout(torch.nn.Identity(), torch.zeros(vocabulary, d), None, 1.0, None, vocabulary)
        source = lens.Source(sets, points, lambda a, b: hidden[:, a:b], lambda a, b: hidden[-1, a:b])
        request = lens.LensRequest(5, torch.tensor([], dtype=torch.long), True, True)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            lens.decode(source, readout, request)
        live = most = 0
        for event in sorted(profile.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
            if event.name() == "[memory]":
                live += event.nbytes()
                most = max(most, live)
        return most

    small, large = peak(4, 512, 8192), peak(16, 1024, 16384)
    assert large < 1.6 * small
    assert large < 4 * 16 * 1024 * 16384 / 10
