"""Direct logit attribution equals a decomposition by hand in float64, and its sums equal the logits."""

import threading
import zlib
from importlib import import_module
from operator import attrgetter

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import interp_magics as im
from tests import checkpoints
from tests.pool.conftest import wait_for

IDS = [0, 17, 44, 9, 120, 301, 77, 3]
TARGET, FOIL = 7, 9


def norm_map(module, value):
    """The linear map of a norm with its scale held at what it is for `value` [d]: v -> map(v), without bias."""
    weight = module.weight.detach()
    name = type(module).__name__
    if "Gemma" in name:
        weight = 1 + weight
    if "LayerNorm" in name and "RMS" not in name:
        scale = ((value - value.mean()).square().mean() + module.eps).sqrt()
        return lambda v: weight * (v - v.mean()) / scale
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", 0.0))
    return lambda v: weight * v / (value.square().mean() + eps).sqrt()


def _modules(model):
    """(blocks, final norm, and of a block: its output projection, what adds attention and MLP; a projection's weight [d, in])."""
    if model.config.model_type == "gpt2":
        trunk = model.transformer
        return trunk.h, trunk.ln_f, lambda b: b.attn.c_proj, lambda b: (b.attn, b.mlp), lambda m: m.weight.detach().T
    blocks, names = model.model.layers, ("self_attn", "mlp")
    if hasattr(blocks[0], "post_feedforward_layernorm"):
        names = ("post_attention_layernorm", "post_feedforward_layernorm")
    parts = attrgetter(*names)
    return blocks, model.model.norm, attrgetter("self_attn.o_proj"), parts, lambda m: m.weight.detach()


def by_hand(path, ids):
    """(embed, attn [L], mlp [L], heads [L, H], total, constant) of the prediction after the last token."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64).eval()
    config = model.config
    caught = {}

    def keep(name, first):
        def hook(module, args, output=None):
            value = args[0] if first else (output[0] if isinstance(output, tuple) else output)
            caught[name] = value.detach()[0, -1] if value.ndim == 3 else value.detach()[-1]

        return hook

    blocks, final, out, parts, weight_of = _modules(model)
    handles = [
        blocks[0].register_forward_pre_hook(keep("embed", True)),
        final.register_forward_pre_hook(keep("x", True)),
    ]
    for layer, block in enumerate(blocks):
        for part, module in zip(("attn", "mlp"), parts(block), strict=True):
            handles.append(module.register_forward_hook(keep((part, layer), False)))
        handles.append(out(block).register_forward_pre_hook(keep(("z", layer), True)))
        handles.append(out(block).register_forward_hook(keep(("raw", layer), False)))
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1]
    head = model.get_output_embeddings()
    axis = head.weight.detach()[TARGET] - head.weight.detach()[FOIL]
    frozen = norm_map(final, caught["x"])

    def dot(value):
        return float(frozen(value) @ axis)

    heads = []
    for layer, block in enumerate(blocks):
        z = caught["z", layer].view(config.num_attention_heads, -1)
        weight = weight_of(out(block)).view(-1, *z.shape)
        outputs = torch.einsum("dhk,hk->hd", weight, z)
        if config.model_type != "gpt2" and parts(block)[0] is not getattr(block, "self_attn", None):
            after_norm = norm_map(parts(block)[0], caught["raw", layer])
            outputs = torch.stack([after_norm(one) for one in outputs])
        heads.append([dot(one) for one in outputs])
    attn, mlp = ([dot(caught[part, layer]) for layer in range(len(blocks))] for part in ("attn", "mlp"))
    total = float(logits[TARGET] - logits[FOIL])
    embed = dot(caught["embed"])
    return embed, attn, mlp, np.array(heads), total, total - embed - sum(attn) - sum(mlp)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_text", "olmo2"])
def test_parts_are_those_of_a_decomposition_by_hand(name, tmp_path, unshared):
    path = checkpoints.make(name, tmp_path)
    embed, attn, mlp, heads, total, constant = by_hand(path, IDS)
    with im.connect(model=str(path), threads=1) as pool:
        found = pool.attribution(IDS, TARGET, FOIL)
    scale = max(1.0, np.abs(attn).max(), np.abs(mlp).max(), abs(embed))
    assert abs(found.embed - embed) < 1e-4 * scale
    assert np.abs(found.attn - attn).max() < 1e-4 * scale and np.abs(found.mlp - mlp).max() < 1e-4 * scale
    assert np.abs(found.heads - heads).max() < 1e-4 * scale
    assert abs(found.total - total) < 1e-4 * scale and abs(found.constant - constant) < 1e-3 * scale
    if name != "gpt2":
        assert abs(found.constant) < 1e-3 * scale, "without biases the parts are all there is"


def test_a_model_that_caps_its_logits_is_refused_by_what_it_shows(tmp_path, unshared):
    path = checkpoints.make("gemma2", tmp_path)
    with im.connect(model=str(path), threads=1) as pool, pytest.raises(im.RequestError, match="caps its logits"):
        pool.attribution(IDS, TARGET, FOIL)


def test_the_likeliest_token_and_the_next_are_compared_unless_others_are_named(pool):
    found = pool.attribution("The quick brown fox jumps over")
    run = pool.lens("The quick brown fox jumps over")
    assert [found.target, found.foil] == run.top_ids[0, -1, -1, :2].tolist()
    assert abs(found.total - float(run.top_logprobs[0, -1, -1, 0] - run.top_logprobs[0, -1, -1, 1])) < 1e-4
    named = pool.attribution("The quick brown fox jumps over", " dog", position=2)
    earlier = pool.lens("The quick brown fox jumps over", track=" dog", positions=[2])
    assert named.target == int(earlier.tracked_ids[0]) and len(named.token_ids) == 3
    assert len(found.to_pandas()) == 2 + len(found.attn) * (2 + found.heads.shape[1])
    with pytest.raises(im.RequestError, match="same token"):
        pool.attribution("The quick", 5, 5)
    with pytest.raises(im.RequestError, match="one token"):
        pool.attribution("The quick", "no single token at all")


def test_a_head_that_is_chosen_gets_its_pattern_and_one_without_a_pool_nothing(pool, tmp_path, monkeypatch):
    import_module("interp_magics.display")

    found = pool.attribution("The quick brown fox")
    widget = found.widget()
    assert widget.live
    widget.chosen = {"layer": 1, "head": 2}
    wait_for(lambda: widget.pattern.get("layer") == 1)
    size = len(found.token_ids)
    weights = np.frombuffer(zlib.decompress(widget.weights), np.uint8)[: size * size].reshape(size, size) / 255
    assert np.abs(weights.sum(1) - 1).max() < 0.02 and not np.triu(weights, 1).any()
    pool_run, slow = type(pool).run, threading.Event()
    monkeypatch.setattr(
        type(pool), "run", lambda own, program, **call: (slow.wait(120), pool_run(own, program, **call))[1]
    )
    widget.chosen = {"layer": 0, "head": 0}
    widget.chosen = {"layer": 1, "head": 1}
    slow.set()
    wait_for(
        lambda: widget.pattern["head"] == 1 and not [t for t in threading.enumerate() if t.name == "interp-pattern"]
    )
    assert widget.pattern["layer"] == 1, "an answer that came late for another head is dropped"
    widget.chosen = {"layer": 99, "head": 0}
    wait_for(lambda: widget.trouble)
    assert "layer 99" in widget.trouble
    page = found.to_html(tmp_path / "page.html").read_text()
    assert "attribution" in page and '"live": false' in page
