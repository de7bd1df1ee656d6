"""Gradients equal autograd through plain transformers in float64."""

import pytest
import torch

from interp_magics.engine.transformers_engine.gradients import Differentiated
from interp_magics.errors import RequestError
from interp_magics.program.language import (
    At,
    Divergence,
    Dot,
    Edit,
    Gradient,
    Ids,
    LogitDifference,
    LogProbability,
    Loss,
    Moments,
    Program,
    Project,
    Row,
    Stage,
    Tap,
)
from interp_magics.program.operations import Add, Interpolate
from interp_magics.program.sites import SITES
from tests.engine import reference
from tests.engine.running import run, stored, vector

ROWS = [[0, 17, 44, 9, 120, 301, 77, 3], [0, 5, 6], [0, 200, 201, 202, 203]]
FAMILIES = [
    "llama",
    "qwen3",
    "gemma2",
    "gemma3_text",
    "gpt2",
    "gpt_neox",
    "phi3",
    "olmo2",
    "mistral",
    "qwen3_moe",
    "opt",
]


def of(rows, *gradients, edits=(), stages=()):
    made = tuple(Row(Ids(tuple(row))) for row in rows)
    return Program(made, (*stages, Stage((), tuple(edits), tuple(gradients))))


def metric_of(metric, logits, ids):
    logp = logits.log_softmax(-1)
    if isinstance(metric, LogitDifference):
        return logits[-1, metric.target] - logits[-1, metric.foil]
    if isinstance(metric, LogProbability):
        return logp[-1, metric.target]
    return -logp[:-1].gather(1, torch.tensor(ids[1:])[:, None]).mean()


def by_autograd(model, ids, metric):
    """(metric, its derivative by the stream after every block), through the model as it is, in float64."""
    caught = []
    blocks, _, _ = reference.parts(model)

    def keep(module, args, output):
        stream = output[0] if isinstance(output, tuple) else output
        stream.retain_grad()
        caught.append(stream)

    handles = [block.register_forward_hook(keep) for block in blocks]
    hook = model.get_input_embeddings().register_forward_hook(lambda m, a, o: o.detach().requires_grad_())
    logits = model(input_ids=torch.tensor([ids])).logits[0]
    value = metric_of(metric, logits, ids)
    value.backward()
    for handle in (*handles, hook):
        handle.remove()
    return value.item(), torch.stack([stream.grad[0] for stream in caught])


_NOT_NODES = ("embed", "attn_pattern", "ln_final", "logits")
METRICS = [LogitDifference(7, 300), LogProbability(44), Loss()]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_stream_s_gradient_is_autograd_s(name, engine, root):
    served = engine(name)
    model = reference.load(root / name)
    (outcome,) = run(served, of(ROWS, *[Gradient(metric, (Tap("resid_post"),)) for metric in METRICS]))
    for metric, found in zip(METRICS, outcome.gradients[0], strict=True):
        for i, ids in enumerate(ROWS):
            value, slopes = by_autograd(model, ids, metric)
            assert abs(found.metric[i] - value) < 1e-4
            mine = found.readings[0].values[i]["values"].double()
            assert (mine - slopes).abs().max() < 1e-4 * max(1.0, float(slopes.abs().max()))


NODES = tuple(site for site in SITES if site not in ("attn_pattern", "logits"))


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "phi3", "gpt2", "gpt_neox", "olmo2"])
def test_at_every_site_a_small_step_changes_the_metric_by_its_slope(name, engine):
    """A central difference through our own edits, at one place of each site."""
    served = engine(name)
    ids, metric, step = ROWS[0], LogitDifference(7, 300), 0.005
    sites = [site for site in NODES if site in served.card.sites]
    gradient = Gradient(metric, tuple(Tap(site, (0,)) for site in sites))
    (outcome,) = run(served, of([ids], gradient))
    torch.manual_seed(1)
    for place, site in enumerate(sites):
        shape = served.card.sites[site].shape
        direction = torch.nn.functional.normalize(torch.randn(shape[-1]), dim=0)
        slope = outcome.gradients[0][0].readings[place].values[0]["values"][0, 2]
        wanted = float((slope * direction).sum())
        values = []
        for sign in (1, -1):
            edit = Edit(site, 0, Add(vector("d"), sign * step), At((2,)))
            (moved,) = run(
                served, of([ids], Gradient(metric, (Tap("embed"),)), edits=[edit]), objects=stored(d=direction)
            )
            values.append(moved.gradients[0][0].metric[0])
        assert abs((values[0] - values[1]) / (2 * step) - wanted) < 2e-2 * max(1.0, abs(wanted)), site


def test_a_gradient_reads_the_edited_value_and_is_zero_before_what_it_cannot_reach(engine):
    served = engine("llama")
    edit = Edit("resid_post", 1, Add(vector("d"), 2.0), At((3,)))
    dot = Gradient(Dot("resid_post", 1, vector("d"), At((3,))), (Tap("resid_post", (0, 1, 2)),))
    objects = stored(d=torch.randn(48))
    (outcome,) = run(served, of([ROWS[0]], dot, edits=[edit]), objects=objects)
    slopes = outcome.gradients[0][0].readings[0].values[0]["values"]
    assert torch.allclose(slopes[1, 3], objects.tensors["d", "d"])
    assert slopes[1, [0, 1, 2, 4, 5, 6, 7]].abs().max() == 0 and slopes[2].abs().max() == 0
    assert slopes[0, :4].abs().max() > 0 and slopes[0, 4:].abs().max() == 0


def test_the_divergence_from_oneself_is_flat_and_from_another_is_its_derivative(engine):
    served = engine("qwen3")
    keep = Stage((Tap("ln_final", reduce=None, keep="plain"),))
    gradient = Gradient(Divergence("plain"), (Tap("ln_final"),))
    (same,) = run(served, of([ROWS[0]], gradient, stages=[keep]))
    assert abs(same.gradients[1][0].metric[0]) < 1e-5
    assert same.gradients[1][0].readings[0].values[0]["values"].abs().max() < 1e-5
    edit = Edit("resid_post", 0, Add(vector("d"), 3.0))
    objects = stored(d=torch.linspace(-1, 1, 48))
    (moved,) = run(served, of([ROWS[0]], gradient, stages=[keep], edits=[edit]), objects=objects)
    assert moved.gradients[1][0].metric[0] > 0.01


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "gpt2", "gpt_neox", "olmo2"])
def test_with_norms_and_attention_frozen_the_stream_is_linear(name, engine):
    """With patterns and scales constant, slope . value of resid_post adds up exactly: d(ln_final . v) by what made it."""
    served = engine(name)
    objects = stored(d=torch.randn(served.card.d_model))
    last = served.card.layers - 1
    frozen = Gradient(Dot("ln_final", 0, vector("d"), At((-1,))), (Tap("resid_post", (last,)),), ("norm",))
    read = Stage((Tap("resid_post", (last,)), Tap("ln_final")))
    (outcome,) = run(served, of([ROWS[0]], frozen, stages=[read]), objects=objects)
    (zeroed,) = run(served, of([ROWS[0]], frozen, edits=[]), objects=objects)
    slope = outcome.gradients[1][0].readings[0].values[0]["values"][0, -1]
    stream = outcome.readings[0][0].values[0]["values"][0, -1]
    final = outcome.readings[0][1].values[0]["values"][0, -1]
    bias = getattr(served._runner.arch.norm, "bias", None)
    offset = 0.0 if bias is None else float(bias @ objects.tensors["d", "d"])
    value = float(final @ objects.tensors["d", "d"])
    assert abs(float(slope @ stream) + offset - value) < 1e-3 * max(1.0, abs(value))
    assert abs(outcome.gradients[1][0].metric[0] - zeroed.gradients[0][0].metric[0]) < 1e-4


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "gpt_neox"])
def test_frozen_attention_sends_nothing_to_queries_and_keys(name, engine):
    served = engine(name)
    taps = (Tap("q"), Tap("k"), Tap("v"), Tap("resid_post", (0,)))
    free, frozen = Gradient(LogProbability(7), taps), Gradient(LogProbability(7), taps, ("attention",))
    (outcome,) = run(served, of(ROWS[:2], free, frozen))
    one, other = outcome.gradients[0]
    assert abs(one.metric[0] - other.metric[0]) < 1e-4
    for place, quiet in enumerate((True, True, False, False)):
        there = other.readings[place].values[0]["values"].abs().max()
        assert (there == 0) == quiet
        assert one.readings[place].values[0]["values"].abs().max() > 0


def test_taps_of_a_gradient_reduce_and_choose(engine):
    served = engine("llama")
    raw = Gradient(
        Loss(), (Tap("mlp_out"), Tap("mlp_out", (1,), At((2,))), Tap("mlp_out", (1,), reduce=Project((vector("d"),))))
    )
    moments = Gradient(Loss(), (Tap("mlp_out", reduce=Moments()),))
    objects = stored(d=torch.randn(48))
    (outcome,) = run(served, of([ROWS[0]], raw, moments), objects=objects)
    whole, one, dots = (reading.values[0]["values"] for reading in outcome.gradients[0][0].readings)
    assert torch.equal(one[0, 0], whole[1, 2])
    assert torch.allclose(dots[0, :, 0], whole[1] @ objects.tensors["d", "d"], atol=1e-5)
    assert torch.allclose(outcome.gradients[0][1].readings[0].values[0]["mean"], whole.mean(1), atol=1e-6)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_neox"])
def test_integrated_gradients_are_complete(name, engine):
    """Summed over the embedding they give the metric here less the metric at the baseline (Sundararajan et al. 2017).

    The baseline is a vector like an embedding: at zero a norm has no direction, and the path would begin with a jump.
    """
    served, steps, ids = engine(name), 96, ROWS[1]
    metric, tap = LogitDifference(7, 300), Tap("embed")
    (plain,) = run(served, of([ids], stages=[Stage((Tap("embed"),))]))
    embedded = plain.readings[0][0].values[0]["values"][0]
    torch.manual_seed(2)
    baseline = torch.randn(served.card.d_model) * embedded.std()
    objects = stored(base=baseline)
    shares = [(k + 0.5) / steps for k in range(steps)]
    edits = [
        Edit("embed", 0, Interpolate(vector("base"), share), rows=(k,)) for k, share in enumerate([*shares, 0.0, 1.0])
    ]
    (outcome,) = run(served, of([ids] * (steps + 2), Gradient(metric, (tap,)), edits=edits), objects=objects)
    found = outcome.gradients[0][0]
    slopes = torch.stack([found.readings[0].values[k]["values"][0] for k in range(steps)])
    attribution = (slopes.mean(0) * (embedded - baseline)).sum()
    assert float(attribution) == pytest.approx(found.metric[-1] - found.metric[-2], rel=0.03, abs=0.02)


@pytest.mark.parametrize("name", FAMILIES)
def test_sparing_memory_gives_the_same_gradients(name, engine, monkeypatch):
    """The first try of a program that is alone finds no memory; the second keeps only what enters each block."""
    served = engine(name)
    torch.manual_seed(5)
    objects = stored(d=torch.randn(served.card.d_model))
    sites = [site for site in SITES if site in served.card.sites and site not in _NOT_NODES]
    edits = [Edit("resid_post", 1, Add(vector("d"), 2.0), At((1,)))]
    asked = of(
        ROWS,
        Gradient(LogitDifference(7, 300), tuple(Tap(site) for site in sites)),
        Gradient(Loss(), (Tap(sites[-1]),)),
        edits=edits,
    )
    wanted = run(served, asked, objects=objects)[0].gradients
    runs, whole = [], Differentiated.run

    def short(self, gradients):
        runs.append(self._sparing)
        if not self._sparing:
            raise torch.OutOfMemoryError("no more")
        return whole(self, gradients)

    monkeypatch.setattr(Differentiated, "run", short)
    made = run(served, asked, objects=objects)[0].gradients
    assert runs == [False, True]
    for one, other in zip(made[0], wanted[0], strict=True):
        assert one.metric == pytest.approx(other.metric)
        for mine, theirs in zip(one.readings, other.readings, strict=True):
            for a, b in zip(mine.values, theirs.values, strict=True):
                assert (a["values"] - b["values"]).abs().max() < 1e-5


def test_a_family_whose_patterns_cannot_be_frozen_says_so(engine, monkeypatch):
    served = engine("llama")
    monkeypatch.delattr("transformers.models.llama.modeling_llama.eager_attention_forward")
    with pytest.raises(RequestError, match="attention patterns of llama cannot be frozen"):
        run(served, of(ROWS[:1], Gradient(Loss(), (Tap("resid_post"),), ("attention",))))
