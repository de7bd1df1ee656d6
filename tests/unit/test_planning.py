"""Plans against the published sizes of models, and against what a checkpoint really holds."""

import pytest
import transformers as hf

from interp_magics import planning, planning_dictionaries
from interp_magics.cli import main
from interp_magics.errors import RequestError
from interp_magics.program.dictionaries import Recipe
from tests import checkpoints


@pytest.mark.parametrize(
    "name, billions",
    [
        ("llama-3.1-8b", 8.03),
        ("llama-3.1-70b", 70.55),
        ("llama-3.1-405b", 405.85),
        ("qwen3-4b", 4.02),
        ("qwen3-14b", 14.77),
        ("qwen3-32b", 32.76),
    ],
)
def test_parameters_are_those_published(name, billions):
    assert planning.MODELS[name].parameters / 1e9 == pytest.approx(billions, rel=0.005)


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gemma2", "gpt_neox", "gpt2", "phi3", "olmo2"])
def test_parameters_of_a_checkpoint_are_counted_right(name, tmp_path):
    path = checkpoints.make(name, tmp_path)
    model = hf.AutoModelForCausalLM.from_pretrained(path)
    matrices = sum(p.numel() for n, p in model.named_parameters() if p.ndim == 2 and "wpe" not in n)
    assert planning.read_shape(str(path)).parameters == matrices


def test_a_plan_scales_as_it_must():
    shape, machine = planning.MODELS["llama-3.1-70b"], planning.MACHINES["h100"]
    one, eight = (planning.plan(shape, machine, planning.Work(1000, new=500), ranks) for ranks in (1, 8))
    assert one.weights == pytest.approx(2 * 70.55e9, rel=0.005) and eight.weights == one.weights / 8
    assert one.captured == 80 * 1499 * 8192 * 2 and eight.captured == one.captured / 8
    assert one.stacked_logits == 80 * 1499 * 128256 * 4
    assert one.exchanged == 0 and eight.exchanged > 0
    assert eight.lens_seconds < one.lens_seconds / 4
    assert "does NOT fit" in planning.describe(shape, machine, planning.Work(1000), 1)
    assert "does NOT fit" not in planning.describe(shape, machine, planning.Work(1000), 8)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r"llama-3\.1-8b"):
        planning.read_shape("llama-3.1-8")
    (tmp_path / "config.json").write_text('{"vocab_size": 5}')
    with pytest.raises(RequestError, match="does not say"):
        planning.read_shape(str(tmp_path))


def test_a_dictionary_is_planned_with_the_passes_that_feed_it(capsys):
    shape, machine = planning.MODELS["llama-3.1-8b"], planning.MACHINES["h100"]
    recipe = Recipe(65_536, k=64, layer=15, tokens=10**9, batch=8192)
    made = planning_dictionaries.plan(shape, machine, recipe, 1)
    assert made.weights == 4 * 2 * 4096 * 65_536 and made.state == 4 * made.weights
    assert made.learning_flops == 2 * 4096 * 65_536 + 8 * 4096 * 64
    assert made.pass_flops == shape.block_parameters
    spread = planning_dictionaries.plan(shape, machine, recipe, 8)
    assert spread.state == made.state / 8 and spread.learning_seconds == made.learning_seconds / 8
    small = Recipe(4096, k=64, layer=15, tokens=10**9, batch=8192)
    assert planning_dictionaries.plan(shape, machine, small, 8).state == 16 * 2 * 4096 * 4096
    relu = planning_dictionaries.plan(shape, machine, Recipe(65_536, "relu", layer=15, tokens=10**9, batch=8192), 1)
    assert relu.learning_flops == 10 * 4096 * 65_536
    main(["plan", "llama-3.1-8b", "--machine", "h100", "--sae-latents", "65536", "--sae-layer", "15"])
    told = capsys.readouterr().out
    assert "65,536 latents at layer 15, 100,000,000 tokens" in told and "train several on the same stream" in told
    with pytest.raises(SystemExit):
        main(["plan", "llama-3.1-8b", "--machine", "h100", "--sae-latents", "8", "--sae-k", "4", "--sae-layer", "99"])
    assert "llama-3.1-8b has layers 0 to 31" in capsys.readouterr().err
