"""The lens of every family equals a float64 reference made of plain forward hooks."""

import pytest
import torch

from interp_magics.engine.lens import LensArrays
from interp_magics.program.language import All, Lens, Sampling, Tap
from tests import checkpoints
from tests.engine import reference
from tests.engine.running import program, run

IDS = [0, 17, 44, 9, 120, 301, 77, 77, 3, 250, 19, 388]
FAMILIES = [*checkpoints.CONFIGS, *checkpoints.STRUCTURAL]


def check_lens(arrays: LensArrays, wanted: reference.Lens, k: int, tracked: list[int]) -> None:
    """The standard of DESIGN section 4 in fp32."""
    values, ids = wanted.logprobs.topk(k + 1, dim=-1)
    mine = arrays.top_logprobs.double()
    assert (mine - values[..., :k]).abs().max() < 1e-4
    clear = torch.ones(*values.shape[:-1], k, dtype=torch.bool)
    gaps = values[..., :-1] - values[..., 1:]
    clear[..., :] &= gaps > 1e-4
    clear[..., 1:] &= gaps[..., :-1] > 1e-4
    assert (arrays.top_ids.long() == ids[..., :k])[clear].all()
    assert (arrays.entropy.double() - wanted.entropy).abs().max() < 1e-4
    assert (arrays.kl_final.double() - wanted.kl).abs().max() < 1e-4
    for column, token in enumerate(tracked):
        exact = wanted.logprobs[..., token]
        assert (arrays.tracked_logprobs[..., column].double() - exact).abs().max() < 1e-4
        ranks = (wanted.logprobs > exact.unsqueeze(-1)).sum(-1)
        assert (arrays.tracked_ranks[..., column] - ranks).abs().max() <= 1


@pytest.mark.parametrize("name", FAMILIES)
def test_every_layer_equals_the_float64_reference(name, engine, root):
    wanted = reference.lens(reference.load(root / name) if (root / name).exists() else _made(name, root), IDS)
    tap = Tap("resid_post", positions=All(), reduce=Lens(top_k=5, track=(7, 300)))
    outcome = run(engine(name), program([IDS], [tap]))[0]
    check_lens(outcome.readings[0][0].values[0], wanted, 5, [7, 300])


def _made(name, root):
    return reference.load(checkpoints.make(name, root))


@pytest.mark.parametrize("name", FAMILIES)
def test_generation_equals_the_models_own_and_its_lens_one_pass_over_the_same_tokens(name, engine, root):
    served = engine(name)
    tap = Tap("resid_post", reduce=Lens(top_k=3))
    grown = run(served, program([IDS], [tap], sampling=Sampling(8)))[0]
    row = grown.rows[0]
    model = reference.load(root / name, torch.float32)
    theirs = model.generate(
        torch.tensor([IDS]),
        max_new_tokens=8,
        do_sample=False,
        pad_token_id=1,
        eos_token_id=1,
        attention_mask=torch.ones(1, len(IDS)),
    )
    assert list(row.completion_ids) == theirs[0, len(IDS) :].tolist()
    assert len(row.token_ids) == len(IDS) + len(row.completion_ids) - 1
    wanted = reference.lens(reference.load(root / name), list(row.token_ids))
    check_lens(grown.readings[0][0].values[0], wanted, 3, [])


def test_the_last_layer_is_the_models_own_distribution_without_divergence(engine):
    outcome = run(engine("gemma2"), program([IDS], [Tap("resid_post", reduce=Lens())]))[0]
    assert outcome.readings[0][0].values[0].kl_final[-1].max() < 1e-5
