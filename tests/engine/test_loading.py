"""What a model proves before it is served, and what is refused."""

import json
import shutil

import pytest
import torch

from interp_magics.engine.arch import FAMILIES
from interp_magics.engine.transformers_engine.load import load
from interp_magics.errors import RequestError
from interp_magics.launch.config import ModelSpec
from interp_magics.program.language import Chat, Lens, Message, Plain, Program, Row, Stage, Tap
from tests import checkpoints
from tests.engine.running import program, raw, run


def test_families_without_an_entry_serve_what_their_structure_proves(engine):
    card = engine("starcoder2").card
    assert set(card.sites) == {
        "embed",
        "resid_pre",
        "attn_out",
        "resid_mid",
        "mlp_out",
        "resid_post",
        "ln_final",
        "logits",
    }
    assert "found by structure" in card.family
    assert "side by side" in engine("cohere").card.missing["resid_mid"]
    assert "does not add up" in engine("granite").card.missing["attn_out"]
    assert "attn_out" not in engine("opt").card.sites and "resid_post" in engine("opt").card.sites


def test_a_wrong_entry_does_not_survive_the_self_test(root, monkeypatch):
    """The law of the load: break an entry and see it."""
    path = checkpoints.make("gemma2", root)
    monkeypatch.setitem(FAMILIES, "gemma2", FAMILIES["llama"])
    card = load(ModelSpec("g", str(path), device="cpu")).card
    assert "does not add up" in card.missing["mlp_out"]


def test_a_model_whose_readout_is_not_what_was_found_is_refused(root, tmp_path):
    path = tmp_path / "g"
    shutil.copytree(checkpoints.make("gemma3", root), path)
    config = json.loads((path / "config.json").read_text())
    config["text_config"]["final_logit_softcapping"] = 2.0
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RequestError, match="differs from the log-probabilities that its tokens are taken from"):
        load(ModelSpec("g", str(path), device="cpu"))


@pytest.mark.parametrize("name", ["qwen3", "gemma2", "gpt2"])
def test_a_bfloat16_model_reads_true_float32_probabilities(name, tmp_path):
    """Top ids and log-probabilities equal a float32 head on the model's own final hidden state."""
    path = checkpoints.make(name, tmp_path, torch.bfloat16)
    served = load(ModelSpec(name, str(path), device="cpu"))
    assert served.card.dtype == "bfloat16"
    outcome = run(
        served,
        Program((Row(Plain("The quick brown fox")),), (Stage((Tap("resid_post", reduce=Lens()), Tap("ln_final"))),)),
    )[0]
    normed = outcome.readings[0][1].values[0]["values"][0].float()
    readout = served._runner.readout
    logits = normed @ readout.weight.float().T
    if readout.softcap:
        logits = readout.softcap * torch.tanh(logits / readout.softcap)
    arrays = outcome.readings[0][0].values[0]
    assert (arrays.top_logprobs[-1] - logits.log_softmax(-1).topk(5).values).abs().max() < 1e-4


def test_chat_goes_through_the_template_and_nothing_is_added(engine):
    served = engine("llama")
    encoded = served.tokens.encode(Chat((Message("user", "hi"),)))
    assert encoded.text == "<s>user: hi\n" and encoded.ids.count(0) == 1


@pytest.mark.parametrize("path", ["/nowhere/at/all", "no-such-org/no-such-model"])
def test_a_model_that_is_not_there_is_named(path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RequestError, match="could not be loaded"):
        load(ModelSpec("x", path, device="cpu"))


def test_a_pickled_checkpoint_is_not_opened(root, tmp_path):
    path = tmp_path / "pickled"
    shutil.copytree(checkpoints.make("llama", root), path)
    (path / "model.safetensors").unlink()
    torch.save({}, path / "pytorch_model.bin")
    with pytest.raises(RequestError, match="could not be loaded"):
        load(ModelSpec("x", str(path), device="cpu"))


def test_a_registered_adapter_is_part_of_the_model(root, tmp_path):
    from peft import LoraConfig, get_peft_model

    from tests.engine import reference

    path = checkpoints.make("llama", root)
    settings = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    theirs = get_peft_model(reference.load(path, torch.float32), settings)
    theirs.save_pretrained(tmp_path / "adapter")
    served = load(ModelSpec("x", str(path), adapter=str(tmp_path / "adapter"), device="cpu"))
    mine = raw(run(served, program([[0, 3, 4, 5]], [Tap("logits")]))[0])[0]
    with torch.no_grad():
        assert torch.allclose(mine, theirs(torch.tensor([[0, 3, 4, 5]])).logits[0], atol=1e-4)
    assert "adapter" in served.card.remarks[0]
    assert served.card.digest != load(ModelSpec("x", str(path), device="cpu")).card.digest
    with pytest.raises(RequestError, match="no adapter_model"):
        load(ModelSpec("x", str(path), adapter=str(tmp_path), device="cpu"))


def test_the_digest_is_the_contents(root, tmp_path):
    path = checkpoints.make("gpt2", root)
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    first, second = (load(ModelSpec("x", str(p), device="cpu")).card.digest for p in (path, copy))
    assert first == second and len(first) == 64
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "note": 1}))
    assert load(ModelSpec("x", str(copy), device="cpu")).card.digest != first


def test_pieces_of_a_character_are_shown_as_bytes(engine):
    tokens = engine("llama").tokens
    ids = tokens.encode(Plain("語")).ids
    shown = [tokens.show(i) for i in ids]
    assert shown[0] == "<s>" or all(s.startswith("<") for s in shown)
    assert all("\ufffd" not in s for s in shown)
