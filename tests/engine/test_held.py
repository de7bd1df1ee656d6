"""Rows that were kept answer as the pass that made them would."""

import pytest
import torch

from interp_magics.engine.protocol import NoObjects, Task
from interp_magics.program.language import (
    At,
    Edit,
    Generated,
    Ids,
    Lens,
    Moments,
    Program,
    Project,
    Raw,
    Row,
    Sampling,
    Stage,
    Tap,
    replace,
)
from interp_magics.program.operations import Add
from tests.engine.running import program, run, stored, vector

IDS = (0, 17, 44, 9, 120)
KEPT = ("resid_post", "embed", "mlp_act", "ln_final", "attn_pattern")
EDIT = Edit("mlp_out", 1, Add(vector("push"), 2.0))
OBJECTS = stored(push=torch.linspace(-1, 1, 48))


@pytest.fixture(scope="module")
def model(engine):
    return engine("qwen3")


@pytest.fixture(scope="module")
def held(model):
    """The held row of a call that generated under an edit."""
    taps = [Tap(site, reduce=None, keep=site) for site in KEPT]
    (outcome,) = run(model, program([IDS], taps, [EDIT], Sampling(4, 1.0, seed=3)), objects=OBJECTS)
    (row,) = outcome.held
    return row


def again(held, *taps, edits=(EDIT,)):
    forced = held.outcome.completion_ids
    return Program((Row(Ids(IDS), Sampling(len(forced), forced=forced)),), (Stage(tuple(taps), tuple(edits)),))


@pytest.mark.parametrize(
    "tap",
    [
        Tap("resid_post", (0, 2), reduce=Lens(top_k=3, track=(7, 9))),
        Tap("resid_post", reduce=Lens(kl_final=False), positions=Generated()),
        Tap("embed", positions=At((1, -1))),
        Tap("mlp_act", (1,), index=(3, 0)),
        Tap("mlp_act", reduce=Moments()),
        Tap("logits", reduce=Raw("float32")),
        Tap("attn_pattern", (2,)),
        Tap("resid_post", (1,), reduce=Project((vector("push"),))),
    ],
    ids=lambda tap: f"{tap.site}-{tap.reduce.__struct_config__.tag}",
)
def test_a_held_row_answers_as_a_pass_would(model, held, tap):
    asked = again(held, tap)
    kept = model.reread(Task(asked, OBJECTS), held)
    (ran,) = run(model, asked, objects=OBJECTS)
    assert kept.reread and not ran.reread
    assert kept.rows[0].token_ids == ran.rows[0].token_ids
    assert kept.readings[0][0].positions == ran.readings[0][0].positions
    for name, values in _named(ran).items():
        assert values.numel() and torch.allclose(_named(kept)[name].float(), values.float(), atol=1e-4), name


def _named(outcome):
    values = outcome.readings[0][0].values[0]
    return (
        values if isinstance(values, dict) else {k: v for k, v in vars(values).items() if v is not None and v.numel()}
    )


def test_what_was_not_kept_needs_a_pass(model, held):
    lens = Tap("resid_post", (0,), reduce=Lens())
    assert model.reread(Task(again(held, Tap("attn_out")), OBJECTS), held) is None
    assert model.reread(Task(again(held, lens, edits=()), OBJECTS), held) is None
    other = again(held, lens)
    forced = (1, *held.outcome.completion_ids[1:])
    rows = (replace(other.rows[0], sampling=Sampling(len(forced), forced=forced)),)
    assert model.reread(Task(replace(other, rows=rows), OBJECTS), held) is None
    rows = (replace(other.rows[0], text=Ids((*IDS[:-1], 5))),)
    assert model.reread(Task(replace(other, rows=rows), OBJECTS), held) is None
    assert model.reread(Task(again(held, lens), OBJECTS), held) is not None


def test_positions_that_were_not_kept_need_a_pass(model):
    (outcome,) = run(model, program([IDS], [Tap("resid_post", reduce=None, keep="x", positions=At((2,)))]))
    (row,) = outcome.held
    asked = [program([IDS], [Tap("resid_post", positions=At((p,)))]) for p in (2, 3)]
    assert model.reread(Task(asked[0], NoObjects()), row) is not None
    assert model.reread(Task(asked[1], NoObjects()), row) is None


def test_a_program_that_keeps_nothing_holds_nothing(model):
    (outcome,) = run(model, program([IDS], [Tap("resid_post")]))
    assert outcome.held == ()
