"""Programs of every kind that one engine, or one group of ranks, is compared with another by."""

import pytest
import torch

from interp_magics.engine.lens import LensArrays
from interp_magics.program.language import (
    At,
    Divergence,
    Dot,
    Edit,
    Gradient,
    Ids,
    Last,
    Lens,
    LogitDifference,
    LogProbability,
    Loss,
    Moments,
    Program,
    Project,
    Row,
    Sampling,
    Stage,
    Surprisal,
    Tap,
    replace,
)
from interp_magics.program.operations import (
    Ablate,
    AblateSubspace,
    Add,
    AddKeepingNorm,
    Clamp,
    Copy,
    Set,
    Stored,
    When,
    Zero,
)
from tests.engine.running import program, stored, vector

ROWS = [[0, 17, 44, 9, 120, 301, 77, 3], [0, 5, 6], [0, 200, 201, 202, 203, 204, 205]]
LENS = Lens(top_k=4, track=(7, 300, 388))
SHARDED = ("q", "k", "v", "head_out", "mlp_act")


def objects(card):
    torch.manual_seed(5)
    return stored(
        d=torch.randn(card.d_model),
        head=torch.randn(card.d_head),
        mlp=torch.randn(card.d_mlp),
        some=torch.randn(3),
    )


def programs(card):
    """Programs that read every site, decode, and edit streams and shards, with neighbours in one batch."""
    whole = [Tap(site) for site in card.sites if site != "attn_pattern"]
    lens = [Tap(site, reduce=LENS) for site in ("resid_post", "mlp_out")]
    made = [
        program([ROWS[0]], [*whole, *lens]),
        program(
            [ROWS[1]], [Tap("resid_post", reduce=Project((vector("d"),))), lens[0]], sampling=Sampling(5, 0.9, seed=2)
        ),
        program([ROWS[0]], lens, [Edit("resid_post", 1, Add(vector("d"), 3.0), At((2,)))], Sampling(4)),
        program(
            [ROWS[2]], [Tap("resid_post", reduce=Moments()), Tap("attn_out")], [Edit("mlp_out", 0, Ablate(vector("d")))]
        ),
    ]
    if "attn_pattern" in card.sites:
        made.append(program([ROWS[1]], [Tap("attn_pattern"), Tap("attn_pattern", index=(3, 1))]))
    if "mlp_act" in card.sites:
        edits = [
            Edit("mlp_act", 0, Clamp(vector("mlp"), -0.5, 0.5)),
            Edit("mlp_act", 1, Set(vector("some")), At((1, -1)), index=(3, card.d_mlp - 1, 41)),
            Edit("mlp_act", 2, Add(vector("mlp"), 0.3, "stream"), At((0,))),
        ]
        made.append(program([ROWS[0]], [Tap("mlp_act", index=(41, 2)), *lens], edits, Sampling(3)))
    if "head_out" in card.sites:
        edits = [
            Edit("head_out", 0, Zero(), index=(1,)),
            Edit("head_out", 1, Add(vector("head"), 2.0), index=(0, 3)),
            Edit("head_out", 2, Ablate(vector("head"))),
            Edit("v", 1, Add(vector("head"), 2.0), At((1,))),
        ]
        made.append(program([ROWS[0]], [Tap("head_out"), Tap("v"), *lens], edits, Sampling(3)))
        copy = (
            Edit("head_out", 1, Copy(0), rows=(1,), index=(2,)),
            Edit("resid_mid", 0, Copy(0, ((3, 1),)), At((3,)), (1,)),
        )
        rows = tuple(Row(Ids(tuple(row))) for row in (ROWS[0], ROWS[2]))
        made.append(
            Program(rows, (Stage((Tap("resid_post"), *lens), copy if "resid_mid" in card.sites else copy[:1]),))
        )
    entering = [Tap(site) for site in ("resid_pre", "embed") if site in card.sites]
    made.append(program([ROWS[0]], entering, sampling=Sampling(5)))
    made.append(_sweep())
    made.append(_conditional())
    made.append(_gradients(card))
    made.append(program([ROWS[0]], [Tap("resid_post", layers=(99,))]))
    return made


def joining():
    """Programs that come when another already generates; one names a vector that nobody has."""
    lens = [Tap("resid_post", reduce=LENS), Tap("mlp_out")]
    return [
        program([ROWS[2]], lens, [Edit("resid_post", 1, Add(vector("d"), 3.0), At((2,)))], Sampling(6)),
        program([ROWS[1]], edits=[Edit("resid_post", 1, Add(vector("none")))], sampling=Sampling(2)),
        _sweep(),
    ]


def _conditional():
    """Edits under a condition, and of a subspace."""
    when = When("resid_post", 0, Stored("d", "d"), 0.0)
    edits = (
        Edit("resid_post", 1, AddKeepingNorm(vector("d"), 2.0), when=when),
        Edit("mlp_out", 2, AblateSubspace((vector("d"),)), when=replace(when, check="prefill", measure="cosine")),
    )
    taps = [Tap("resid_post"), Tap("logits", index=(7, 388)), Tap("ln_final", reduce=Surprisal())]
    return program([ROWS[0], ROWS[2]], taps, edits, Sampling(3))


def _sweep():
    """Rows that share the beginning of their prompts."""
    edits = tuple(Edit("resid_post", 1, Add(vector("d"), float(i)), Last(), rows=(i,)) for i in range(4))
    rows = tuple(Row(Ids((*ROWS[0], 5, 6, 7, i)), Sampling(3)) for i in (8, 8, 9, 8))
    return Program(rows, (Stage((Tap("resid_post", reduce=LENS), Tap("mlp_out")), edits),))


def _gradients(card):
    """Every metric and every way of freezing, by sites that the ranks share and by ones that all hold."""
    sites = [site for site in ("resid_post", "attn_out", "mlp_out", "ln_mlp", *SHARDED) if site in card.sites]
    taps = tuple(Tap(site) for site in sites)
    metrics = (LogitDifference(7, 300), LogProbability(388), Loss(), Dot("resid_post", 1, vector("d"), At((-1,))))
    gradients = [Gradient(metric, taps) for metric in metrics]
    if "mlp_act" in card.sites:
        gradients.append(Gradient(Dot("mlp_act", 1, vector("mlp"), At((1,))), taps, ("norm",)))
        gradients.append(Gradient(LogitDifference(7, 300), taps, ("norm", "attention")))
    edits = (Edit("resid_post", 0, Add(vector("d"), 2.0), At((2,))),)
    keep = Stage((Tap("ln_final", reduce=None, keep="plain"),))
    rows = tuple(Row(Ids(tuple(row))) for row in (ROWS[0], ROWS[2]))
    return Program(rows, (keep, Stage((), edits, (*gradients, Gradient(Divergence("plain"), taps)))))


def check_same(one, other):
    """Two outcomes of a program are the same, or the same refusal."""
    if isinstance(one, Exception):
        assert str(other) == str(one)
        return
    assert not isinstance(other, Exception), other
    assert other.rows == one.rows
    for mine, theirs in zip(one.readings[0], other.readings[0], strict=True):
        assert mine.positions == theirs.positions
        for a, b in zip(mine.values, theirs.values, strict=True):
            _same(a, b)
    for one_stage, other_stage in zip(one.gradients, other.gradients, strict=True):
        for mine, theirs in zip(one_stage, other_stage, strict=True):
            assert mine.metric == pytest.approx(theirs.metric, rel=1e-4, abs=1e-4)
            for a, b in zip(mine.readings, theirs.readings, strict=True):
                for x, y in zip(a.values, b.values, strict=True):
                    _same(x, y)


def _same(one, two):
    if isinstance(one, LensArrays):
        assert (one.top_logprobs - two.top_logprobs).abs().max() < 1e-4
        clear = (one.top_logprobs[..., :-1] - one.top_logprobs[..., 1:]) > 1e-4
        assert torch.equal(one.top_ids[..., :-1][clear], two.top_ids[..., :-1][clear])
        assert (one.entropy - two.entropy).abs().max() < 1e-4
        assert (one.kl_final - two.kl_final).abs().max() < 1e-4
        assert torch.allclose(one.tracked_logprobs, two.tracked_logprobs, rtol=0, atol=1e-4)
        assert torch.allclose(one.tracked_ranks.float(), two.tracked_ranks.float(), rtol=0, atol=1)
        return
    for name, values in one.items():
        assert values.shape == two[name].shape
        scale = max(1.0, float(values.abs().max()))
        assert (values - two[name]).abs().max() < 1e-4 * scale, name
