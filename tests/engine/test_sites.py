"""Every site of every family holds what the name says, against plain hooks on the model's own modules."""

import pytest
import torch

from interp_magics.program.language import Edit, Program, Stage, Tap
from interp_magics.program.operations import Set, Zero
from tests import checkpoints
from tests.engine import reference
from tests.engine.running import program, raw, run, stored, vector

IDS = [0, 17, 44, 9, 120, 301, 77, 77, 3, 250]
FAMILIES = list(checkpoints.CONFIGS)


def read(engine, *sites, edits=(), objects=None, ids=IDS):
    outcome = run(engine, program([ids], [Tap(s) for s in sites], edits), objects=objects)[0]
    return [raw(outcome, tap) for tap in range(len(sites))]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_stream_is_what_comes_in_plus_what_the_sublayers_add(name, engine):
    pre, attn, mlp, post = read(engine(name), "resid_pre", "attn_out", "mlp_out", "resid_post")
    assert torch.allclose(pre + attn + mlp, post, atol=1e-5)
    assert torch.equal(pre[1:], post[:-1])


@pytest.mark.parametrize("name", FAMILIES)
def test_resid_mid_lies_between_or_is_refused_with_the_reason(name, engine):
    served = engine(name)
    if "resid_mid" in served.card.missing:
        assert "side by side" in served.card.missing["resid_mid"]
        return
    pre, attn, mid = read(served, "resid_pre", "attn_out", "resid_mid")
    assert torch.allclose(pre + attn, mid, atol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_stream_equals_the_models_own_hidden_states(name, engine, root):
    stack, logits = reference.streams(reference.load(root / name, torch.float32), IDS)
    post, mine = read(engine(name), "resid_post", "logits")
    assert torch.allclose(post, stack, atol=2e-5)
    assert torch.allclose(mine[0], logits, atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_patterns_are_distributions_over_the_past_and_mix_the_values_into_head_out(name, engine):
    served = engine(name)
    pattern, v, head_out = read(served, "attn_pattern", "v", "head_out")
    pattern = pattern.permute(0, 2, 1, 3)
    assert torch.allclose(pattern.sum(-1), torch.ones(()), atol=1e-5)
    assert pattern.triu(1).abs().max() < 1e-6
    group = served.card.heads // served.card.kv_heads
    mixed = torch.einsum("lhqk,lkhd->lqhd", pattern, v.repeat_interleave(group, dim=2))
    assert torch.allclose(mixed, head_out, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_head_out_and_mlp_act_are_what_the_projections_read(name, engine):
    served = engine(name)
    arch = served._runner.arch
    sites = [site for site in ("head_out", "mlp_act") if site in arch.ports]
    values = dict(zip(sites, read(served, *sites), strict=True))
    for site, value in values.items():
        port = arch.ports[site][1]
        assert torch.allclose(value[1].flatten(1), _input_of(port.module, served), atol=1e-6)


def _input_of(module, served):
    caught = []
    handle = module.register_forward_hook(lambda module, args, output: caught.append(args[0][0]))
    read(served, "resid_post")
    handle.remove()
    return caught[0]


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "gpt2", "phi3", "gpt_neox", "gemma3_text", "olmo2"])
@pytest.mark.parametrize("site", ["q", "k", "v"])
def test_writing_zero_to_a_head_input_reaches_attention(name, site, engine):
    """q = 0 or k = 0 makes every visible position alike; v = 0 makes the head say nothing."""
    served = engine(name)
    edit = [Edit(site, 1, Zero())]
    pattern, head_out = read(served, "attn_pattern", "head_out", edits=edit)
    if site == "v":
        assert head_out[1].abs().max() < 1e-6
    else:
        visible = pattern[1] > 0
        row = pattern[1, 3][visible[3]]
        assert torch.allclose(row, row[0].expand_as(row), atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_writable_site_changes_the_end_when_written(name, engine):
    served = engine(name)
    clean = read(served, "logits")[0]
    for site, info in served.card.sites.items():
        if not info.writable:
            continue
        edited = read(served, "logits", edits=[Edit(site, 0, Zero())])[0]
        assert (edited - clean).abs().max() > 1e-4, site


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "gpt_neox_sequential"])
def test_a_set_stream_is_what_the_rest_of_the_model_sees(name, engine):
    served = engine(name)
    width = served.card.d_model
    value = torch.randn(width)
    edits = [Edit("resid_mid", 1, Set(vector("x")))]
    mid, mlp, post = read(served, "resid_mid", "mlp_out", "resid_post", edits=edits, objects=stored(x=value))
    assert torch.allclose(mid[1], value.expand_as(mid[1]), atol=1e-5)
    assert torch.allclose(post[1], mid[1] + mlp[1], atol=1e-5)


def test_what_a_sublayer_reads_can_be_written_without_touching_the_stream(engine):
    served = engine("llama")
    clean = read(served, "resid_mid", "ln_mlp", "attn_out")
    mid, ln, attn = read(served, "resid_mid", "ln_mlp", "attn_out", edits=[Edit("ln_mlp", 0, Zero())])
    assert torch.equal(mid[0], clean[0][0]) and torch.equal(attn[0], clean[2][0])
    assert ln[0].abs().max() == 0


def test_an_index_reads_and_writes_those_heads_alone(engine):
    served = engine("qwen3")
    clean = read(served, "head_out")[0]
    edited = read(served, "head_out", edits=[Edit("head_out", 1, Zero(), index=(0, 2))])[0]
    assert edited[1][:, [0, 2]].abs().max() == 0
    assert torch.equal(edited[1][:, [1, 3]], clean[1][:, [1, 3]])
    part = run(served, Program(program([IDS]).rows, (Stage((Tap("head_out", (1,), index=(3,)),)),)))[0]
    assert torch.equal(raw(part)[0][:, 0], clean[1][:, 3])
