"""A checkpoint in four bits: programs give what they give on its weights written out."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import ModelSpec
from interp_magics.program.language import At, Edit, Generated
from interp_magics.program.operations import Ablate, Add
from tests import checkpoints
from tests.engine.cases import objects
from tests.engine.running import program, run, vector
from tests.vllm.side import Rounds, run_rounds
from tests.vllm.test_precision import ALLOWED, FORCED, PROMPT, TAPS, away

GROUP, BITS = 32, 4
#: The layout of `compressed-tensors`: so many bits a weight, a scale for each group of inputs, no zero point.
SETTINGS = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": BITS, "type": "int", "symmetric": True, "strategy": "group", "group_size": GROUP},
        }
    },
}


def packed(weight):
    """(the parameters of a weight [out, in] in four bits, the weight that they mean)."""
    groups = weight.view(weight.shape[0], -1, GROUP)
    scale = (groups.abs().amax(-1) / 7).bfloat16()
    whole = (groups / scale.float()[..., None]).round().clamp(-8, 7)
    meant = (whole * scale.float()[..., None]).view_as(weight)
    places = (whole.view(weight.shape[0], -1, 32 // BITS) + 8).long() << torch.arange(0, 32, BITS)
    words = places.sum(-1)
    words = torch.where(words >= 1 << 31, words - (1 << 32), words).int()
    return {"weight_packed": words, "weight_scale": scale, "weight_shape": torch.tensor(weight.shape)}, meant


@pytest.fixture(scope="module")
def checkpoint(root):
    """A checkpoint in four bits, and the same written out."""
    plain = checkpoints.make("llama", root, sizes=checkpoints.WIDE)
    quantised, written = root / "quantised", root / "written"
    shutil.copytree(plain, quantised)
    shutil.copytree(plain, written)
    weights, small = load_file(plain / "model.safetensors"), {}
    for name, weight in list(weights.items()):
        if ".layers." in name and weight.ndim == 2:
            parts, weights[name] = packed(weight)
            small |= {f"{name.removesuffix('weight')}{part}": value for part, value in parts.items()}
        else:
            small[name] = weight.bfloat16()
    save_file(small, quantised / "model.safetensors", {"format": "pt"})
    save_file(weights, written / "model.safetensors", {"format": "pt"})
    config = json.loads((quantised / "config.json").read_text())
    (quantised / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16", "quantization_config": SETTINGS}))
    return quantised, written


def test_programs_on_four_bits_give_what_they_give_on_the_weights_written_out(checkpoint, tmp_path):
    quantised, written = checkpoint
    exact, rounded = (load(ModelSpec("x", str(written), device="cpu", dtype=dtype)) for dtype in (None, "bfloat16"))
    vectors = objects(exact.card)
    asked = [
        program([PROMPT], TAPS, (), FORCED),
        program([PROMPT], TAPS, [Edit("resid_post", 1, Add(vector("d"), 2.0), Generated())], FORCED),
        program([PROMPT], TAPS, [Edit("mlp_out", 1, Ablate(vector("d")), At((3, 4)))], FORCED),
    ]
    found = run_rounds(tmp_path, Rounds(quantised, [asked], vectors, dtype="bfloat16")).outcomes[0]
    for one, theirs in zip(asked, found, strict=True):
        wanted, usual = (run(engine, one, objects=vectors)[0] for engine in (exact, rounded))
        for tap in range(3):
            assert away(wanted, theirs, tap) <= ALLOWED * away(wanted, usual, tap) + 1e-3
