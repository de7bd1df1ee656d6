"""In bfloat16 tokens are not comparable between engines, so values are, of the same tokens, by a stated tolerance."""

import pytest
import torch

from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import ModelSpec
from interp_magics.program.language import At, Edit, Generated, Lens, Sampling, Tap
from interp_magics.program.operations import Ablate, Add
from tests.engine.cases import objects
from tests.engine.running import program, raw, run, vector
from tests.vllm.side import Rounds, run_rounds

PROMPT = [0, *range(7, 50, 2)]
FORCED = Sampling(12, forced=tuple(range(60, 72)))
TAPS = [Tap("resid_post"), Tap("attn_out"), Tap("mlp_out"), Tap("resid_post", reduce=Lens(top_k=1, track=(61, 70)))]
#: vLLM may be so much further from float32 than the reference engine in bfloat16 is: both round, at different places.
ALLOWED = 2.0


@pytest.mark.parametrize("name", ["llama", "gemma2"])
@pytest.mark.parametrize("options", [{}, {"max_num_batched_tokens": 7, "max_num_seqs": 4}], ids=["whole", "cut"])
def test_values_in_bfloat16_are_as_near_to_float32_as_those_of_the_reference(name, options, reference, root, tmp_path):
    exact = reference(name)
    rounded = load(ModelSpec(name, str(root / name), device="cpu", dtype="bfloat16"))
    vectors = objects(exact.card)
    asked = [
        program([PROMPT], TAPS, (), FORCED),
        program([PROMPT], TAPS, [Edit("resid_post", 1, Add(vector("d"), 2.0), Generated())], FORCED),
        program([PROMPT], TAPS, [Edit("resid_post", 1, Ablate(vector("d")), At((3, 4)))], FORCED),
    ]
    found = run_rounds(tmp_path, Rounds(root / name, [asked], vectors, options, dtype="bfloat16")).outcomes[0]
    for one, theirs in zip(asked, found, strict=True):
        wanted, usual = (run(engine, one, objects=vectors)[0] for engine in (exact, rounded))
        for tap in range(3):
            assert away(wanted, theirs, tap) <= ALLOWED * away(wanted, usual, tap) + 1e-3
        values = [outcome.readings[0][3].values[0].tracked_logprobs for outcome in (wanted, usual, theirs)]
        mine, ours = (torch.as_tensor(one) - torch.as_tensor(values[0]) for one in values[1:])
        assert ours.abs().max() <= ALLOWED * mine.abs().max() + 1e-3


def away(wanted, found, tap):
    """Root mean square of the difference at each layer, over that of the values; of all layers the largest."""
    one, other = (raw(outcome, tap).float() for outcome in (wanted, found))
    return float(((one - other).pow(2).mean((1, 2)) / one.pow(2).mean((1, 2))).sqrt().max())
