"""A LoRA adapter that an administrator registered is part of the model: as if its product were added to the weights."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from interp_magics.engine.transformers_engine.load import load
from interp_magics.errors import RequestError
from interp_magics.launch.config import ModelSpec
from interp_magics.program.language import Edit, Sampling, Tap
from interp_magics.program.operations import Add
from tests import checkpoints
from tests.engine.cases import check_same, objects
from tests.engine.ranked import Case, run_on
from tests.engine.running import program, run, vector

RANK, ALPHA = 4, 8
TARGETS = ("self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")


@pytest.fixture(scope="module")
def adapted(root):
    """A checkpoint, an adapter for it, and the checkpoint with the adapter in its weights."""
    base = checkpoints.make("llama", root, sizes=checkpoints.WIDE)
    adapter, merged = root / "adapter", root / "merged"
    shutil.copytree(base, merged)
    weights, parts = load_file(base / "model.safetensors"), {}
    generator = torch.Generator().manual_seed(0)
    for name, weight in weights.items():
        path = name.removesuffix(".weight")
        if path.endswith(TARGETS):
            down = torch.randn(RANK, weight.shape[1], generator=generator) / weight.shape[1] ** 0.5
            up = torch.randn(weight.shape[0], RANK, generator=generator) * weight.std()
            parts |= {f"base_model.model.{path}.lora_A.weight": down, f"base_model.model.{path}.lora_B.weight": up}
            weights[name] = weight + ALPHA / RANK * up @ down
    save_file(weights, merged / "model.safetensors", {"format": "pt"})
    adapter.mkdir()
    save_file(parts, adapter / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "r": RANK,
        "lora_alpha": ALPHA,
        "target_modules": [t.split(".")[1] for t in TARGETS],
    }
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    return base, adapter, merged


@pytest.mark.parametrize(("runner", "tp", "compiled"), [("first", 1, False), ("ahead", 1, False), ("first", 2, True)])
def test_an_adapter_is_as_if_it_were_in_the_weights(runner, tp, compiled, adapted, tmp_path):
    base, adapter, merged = adapted
    served, plain = (load(ModelSpec("x", str(path), device="cpu")) for path in (merged, base))
    vectors = objects(served.card)
    prompt = [0, *range(40, 60)]
    sites = ("resid_post", "attn_out", "mlp_out", "logits", *(() if compiled else ("q", "v", "head_out")))
    taps = [Tap(site) for site in sites]
    edit = Edit("resid_post", 1, Add(vector("d"), 2.0))
    asked = [program([prompt], taps, sampling=Sampling(6)), program([prompt[:9]], taps, [edit], Sampling(4))]
    case = Case(base, asked, vectors, engine="vllm", compiled=compiled, runner=runner, adapter=adapter)
    (found,) = run_on(tp, tmp_path, [case])
    for one, mine in zip(asked, found, strict=True):
        check_same(run(served, one, objects=vectors)[0], mine)
    with pytest.raises(AssertionError):
        check_same(run(plain, asked[0], objects=vectors)[0], found[0])


def test_an_adapter_that_is_not_whole_is_refused_before_anything_is_loaded(adapted, tmp_path):
    from interp_magics.engine.vllm_engine.load import load as load_vllm

    base, adapter, _ = adapted
    shutil.copytree(adapter, tmp_path / "one")
    (tmp_path / "one" / "adapter_config.json").write_text('{"r": 4096}')
    with pytest.raises(RequestError, match=r"the adapter of 'x' has no rank that vLLM knows in .*adapter_config\.json"):
        load_vllm(ModelSpec("x", str(base), adapter=str(tmp_path / "one"), device="cpu"))
    (tmp_path / "one" / "adapter_model.safetensors").unlink()
    with pytest.raises(RequestError, match=r"has no adapter_model\.safetensors"):
        load_vllm(ModelSpec("x", str(base), adapter=str(tmp_path / "one"), device="cpu"))
