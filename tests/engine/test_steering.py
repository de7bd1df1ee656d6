"""Vectors and propensity curves on real passes: analytic truths, and every point of a curve alone."""

import numpy as np
import pytest
import torch

from interp_magics.data import results
from interp_magics.data.vectors import SteeringVector
from interp_magics.engine.execution import reading, tape
from interp_magics.engine.execution.writing import Writer
from interp_magics.engine.protocol import Task, collect
from interp_magics.errors import RequestError
from interp_magics.methods import plans, runs
from interp_magics.methods.steerability import plan as steerability
from interp_magics.methods.steerability.request import Curve, SteerabilityRequest
from interp_magics.methods.vector.request import VectorRequest
from interp_magics.program.language import (
    All,
    At,
    Edit,
    Generated,
    Ids,
    Last,
    Program,
    Row,
    Sampling,
    Span,
    Stage,
    Tap,
    replace,
)
from interp_magics.program.operations import Ablate, AblateSubspace, Add, AddKeepingNorm, Copy, Stored, When, Zero
from tests import checkpoints
from tests.engine.running import program, raw, run, stored, vector

SCALES = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
PROMPTS = [[0, 17, 44, 9, 120], [0, 5, 6], [0, 200, 201, 202, 203, 204, 205]]
ITEMS = [(*prompt, answer) for prompt in PROMPTS for answer in (301, 77)]


def _answer(engine, request, objects=None):
    plans.validate(request, engine.card)
    made = runs.programs(request, engine)
    outcomes = collect(engine, [Task(one, objects or stored()) for one in made])
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return results.decode(runs.result(request, outcomes, engine))


def _request(card, site="resid_post", layers=(0, 2), positions=None, names=("x", "y")):
    curves = tuple(Curve(name, tuple(Stored("d", f"{name}{layer}") for layer in layers)) for name in names)
    texts = tuple(Ids(ids) for ids in ITEMS)
    return SteerabilityRequest(texts, site, layers, SCALES, curves, positions or Last())


def _objects(card, layers=(0, 1, 2)):
    torch.manual_seed(5)
    return stored(**{f"{name}{layer}": 3 * torch.randn(card.d_model) for name in "xy" for layer in layers})


@pytest.mark.parametrize("name", checkpoints.CONFIGS)
@pytest.mark.parametrize("positions", [Last(), All()])
def test_every_point_of_a_curve_is_what_it_is_alone(name, positions, engine):
    served = engine(name)
    objects = _objects(served.card)
    found = _answer(served, _request(served.card, positions=positions), objects)
    assert found.values.shape == (2, 2, 3, 7)
    tap = Tap("logits", positions=Last())
    for curve, layer, item, scale in ((0, 0, 0, 0), (1, 1, 1, 6), (0, 1, 2, 4), (1, 0, 0, 3), (0, 0, 2, 6)):
        added = Add(Stored("d", f"{'xy'[curve]}{(0, 2)[layer]}"), SCALES[scale])
        edit = Edit("resid_post", (0, 2)[layer], added, positions)
        logits = raw(run(served, program([PROMPTS[item]], [tap], [edit]), objects=objects)[0])[0, 0]
        assert found.values[curve, layer, item, scale] == pytest.approx(float(logits[301] - logits[77]), abs=1e-3)
    assert (found.answer_ids == [301, 77]).all()


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2", "olmo2", "cohere"])
def test_at_the_final_norm_the_slope_is_known_on_paper(name, engine):
    """m is linear there: slope (w_y+ - w_y-) . v times the logit scale, R^2 = 1."""
    served = engine(name)
    objects = _objects(served.card)
    found = _answer(served, _request(served.card, "ln_final", (0,)), objects)
    readout = served._runner.readout
    for curve, letter in enumerate("xy"):
        expected = readout.scale * float(
            (readout.weight[301] - readout.weight[77]).float() @ objects.tensor("d", f"{letter}0")
        )
        slopes = found.slopes[curve, 0]
        assert np.abs(slopes - expected).max() < 1e-3 * max(1.0, abs(expected))
    assert found.r2[0] == pytest.approx(1, abs=1e-6)


def test_chosen_logits_are_the_whole_ones(engine):
    for name in ("gemma2", "cohere", "gpt_neox"):
        served = engine(name)
        taps = [Tap("logits", positions=Last()), Tap("logits", positions=Last(), index=(77, 0, 301))]
        outcome = run(served, program([PROMPTS[0]], taps))[0]
        assert torch.allclose(raw(outcome)[..., [77, 0, 301]], raw(outcome, 1), atol=1e-4)


def test_the_rows_of_an_item_are_spread_over_programs_that_fit_a_batch(engine):
    card = engine("llama").card
    request = _request(card, layers=tuple(range(card.layers)))
    made = list(steerability.programs_of(request, (0, 1), (5, 6)))
    rows = 1 + 2 * card.layers * 6
    assert sum(len(one.rows) for one in made) == rows and all(len(one.rows) <= steerability.ROWS for one in made)
    assert sum(len(one.stages[0].edits) for one in made) == rows - 1


@pytest.mark.parametrize("position, read", [("last", [-1]), ("mean", None), ("label", [3])])
def test_a_mean_difference_is_that_of_what_was_captured(position, read, engine):
    served = engine("qwen3")
    positive = [[0, 5, 6, 7, 9], [0, 8, 2, 30, 9, 9]]
    negative = [[0, 5, 6, 70, 3], [0, 8, 2, 31, 9, 4]]
    request = VectorRequest(tuple(Ids(tuple(ids)) for ids in (*positive, *negative)), 2, position=position)
    vector = _answer(served, request)
    assert isinstance(vector, SteeringVector) and vector.checkpoint == served.card.digest
    means = []
    for ids in (*positive, *negative):
        values = raw(run(served, program([ids], [Tap("resid_post")]))[0])
        means.append((values if read is None else values[:, read]).mean(1))
    wanted = (means[0] + means[1] - means[2] - means[3]) / 2
    for layer in range(served.card.layers):
        assert np.abs(vector.directions[layer] - wanted[layer].numpy()).max() < 1e-4
        lengths = [np.linalg.norm(v[layer]) for v in (vector.directions, vector.shuffled)]
        assert lengths[0] == pytest.approx(lengths[1], rel=1e-5)
    assert list(vector.diagnostics().index) == list(range(served.card.layers))


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda r: {"texts": r.texts[:1], "positive": 1}, "no negative texts|needs at least 2"),
        (lambda r: {"texts": r.texts[:3]}, "1 negative text"),
        (lambda r: {"positive": 1, "texts": r.texts[:3]}, "1 positive text:"),
        (lambda r: {"texts": (*r.texts, r.texts[0])}, "not pairs"),
        (lambda r: {"texts": (*r.texts, r.texts[0]), "paired": False, "method": "pca"}, "not paired"),
        (lambda r: {"texts": (*r.texts, r.texts[0]), "paired": False, "position": "label"}, "not paired"),
        (lambda r: {"site": "mlp_act"}, "fitted where one can be written"),
        (lambda r: {"site": "resid"}, "resid_p"),
        (lambda r: {"layers": (9,)}, "layer 9"),
        (lambda r: {"texts": (*r.texts[:2], *r.texts[:2]), "position": "label"}, "pair 0 are the same"),
        (lambda r: {"texts": (*r.texts[:2], *r.texts[:2])}, "no direction"),
        (lambda r: {"texts": (r.texts[0], r.texts[1], Ids((0, 5)), r.texts[3]), "position": "label"}, "begin alike"),
        (lambda r: {"texts": (Ids((4, 5)), *r.texts[1:]), "position": "label"}, "first token"),
        (lambda r: {"position": Span("no")}, "token ids"),
    ],
)
def test_what_makes_no_vector_is_told(change, why, engine):
    served = engine("llama")
    texts = tuple(Ids(ids) for ids in ((0, 5, 6), (0, 7, 8), (0, 5, 9), (0, 7, 3)))
    request = VectorRequest(texts, 2)
    with pytest.raises(RequestError, match=why):
        _answer(served, replace(request, **change(request)))


def test_what_has_no_curve_is_told(engine):
    served = engine("llama")
    request = _request(served.card)
    for change, why in (
        ({"texts": request.texts[:3]}, "pairs"),
        ({"scales": (1.0,)}, "two scales"),
        ({"layers": (0,)}, "2 vectors for 1 layers"),
        ({"layers": (0, 9)}, "layer 9"),
        ({"texts": (request.texts[0],) * 2}, "item 0 are the same"),
    ):
        with pytest.raises(RequestError, match=why):
            _answer(served, replace(request, **change), _objects(served.card))


def test_a_model_is_what_it_was_after_a_curve_and_after_one_that_failed(engine):
    served = engine("gemma2")
    plain = Program((Row(Ids(tuple(PROMPTS[0]))),), (Stage((Tap("logits"),)),))
    before = raw(run(served, plain)[0])
    request = _request(served.card)
    _answer(served, request, _objects(served.card))
    with pytest.raises(RequestError, match="width"):
        _answer(served, request, stored(**{f"{n}{x}": torch.ones(7) for n in "xy" for x in (0, 2)}))
    assert torch.equal(raw(run(served, plain)[0]), before)


def _edited(served, op, objects, before=False):
    """The value at a site under an operation, and what it was."""
    tap = Tap("mlp_out", (1,))
    plain = raw(run(served, program([PROMPTS[0]], [tap]), objects=objects)[0])[0]
    moved = raw(run(served, program([PROMPTS[0]], [tap], [Edit("mlp_out", 1, op)]), objects=objects)[0])[0]
    return plain, moved


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("unit", ["raw", "stream"])
def test_an_add_that_keeps_the_norm_turns_and_does_not_stretch(name, unit, engine):
    served = engine(name)
    objects = _objects(served.card)
    plain, moved = _edited(served, AddKeepingNorm(Stored("d", "x0"), 0.7, unit), objects)
    vector = objects.tensor("d", "x0")
    size = plain.norm(dim=-1, keepdim=True)
    wanted = plain + 0.7 * (vector if unit == "raw" else size * vector / vector.norm())
    assert torch.allclose(moved, wanted * size / wanted.norm(dim=-1, keepdim=True), atol=1e-4)
    same, unmoved = _edited(served, AddKeepingNorm(Stored("d", "x0"), 0.0, unit), objects)
    assert torch.allclose(same, unmoved, atol=1e-6)


def test_a_subspace_is_gone_however_it_is_spanned(engine):
    served = engine("qwen3")
    torch.manual_seed(2)
    x, y = torch.randn(2, served.card.d_model)
    objects = stored(x=x, y=y, both=2 * x - 3 * y, again=x * 1e-3)
    named = {name: Stored("d", name) for name in ("x", "y", "both", "again")}
    plain, moved = _edited(served, AblateSubspace((named["x"], named["y"])), objects)
    basis = torch.linalg.qr(torch.stack([x, y], 1))[0]
    assert torch.allclose(moved, plain - plain @ basis @ basis.T, atol=1e-5)
    for others in (("x", "both"), ("x", "y", "both", "again"), ("y", "again")):
        assert torch.allclose(
            _edited(served, AblateSubspace(tuple(named[o] for o in others)), objects)[1], moved, atol=1e-4
        )
    once = Edit("mlp_out", 1, AblateSubspace((named["x"], named["y"])))
    twice = raw(run(served, program([PROMPTS[0]], [Tap("mlp_out", (1,))], [once, once]), objects=objects)[0])[0]
    assert torch.allclose(twice, moved, atol=1e-5)
    with pytest.raises(RequestError, match="at least one vector"):
        AblateSubspace(())


def _when(threshold, check="token", measure="coordinate", layer=0):
    return When("resid_post", layer, Stored("d", "y0"), threshold, check, measure)


def _conditioned(served, prompts, when, objects, sampling=None):
    edit = Edit("resid_post", 1, Add(Stored("d", "x0"), 4.0), when=when)
    return run(served, program(prompts, [Tap("resid_post")], [edit], sampling), objects=objects)[0]


def _measured(values, vector, measure):
    found = values @ vector / vector.norm()
    return found if measure == "coordinate" else found / values.norm(dim=-1)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("measure", ["coordinate", "cosine"])
def test_a_condition_of_every_token_edits_where_it_holds_and_nowhere_else(name, measure, engine):
    served = engine(name)
    objects = _objects(served.card)
    plain = [raw(run(served, program([ids], [Tap("resid_post")]))[0])[0] for ids in PROMPTS]
    found = [_measured(values, objects.tensor("d", "y0"), measure) for values in plain]
    ordered = torch.cat(found).sort().values
    gap = int((ordered[4:-3] - ordered[3:-4]).argmax()) + 3
    threshold = float(ordered[gap] + ordered[gap + 1]) / 2
    together = _conditioned(served, PROMPTS, _when(threshold, "token", measure), objects)
    for row, ids in enumerate(PROMPTS):
        places = tuple(int(i) for i in (found[row] > threshold).nonzero()[:, 0])
        edits = [Edit("resid_post", 1, Add(Stored("d", "x0"), 4.0), At(places))] if places else []
        wanted = run(served, program([ids], [Tap("resid_post")], edits), objects=objects)[0]
        assert (raw(together, row=row) - raw(wanted)).abs().max() < 1e-4


@pytest.mark.parametrize("check", ["token", "prefill"])
def test_a_condition_holds_while_a_row_grows_as_it_does_in_one_pass(check, engine):
    served = engine("qwen3")
    objects = _objects(served.card)
    plain = [raw(run(served, program([ids], [Tap("resid_post")]))[0])[0] for ids in PROMPTS]
    ends = sorted(float(_measured(values[-1], objects.tensor("d", "y0"), "coordinate")) for values in plain)
    when = _when((ends[0] + ends[1]) / 2, check)
    grown = _conditioned(served, PROMPTS, when, objects, Sampling(6))
    changed = []
    for row, ids in enumerate(PROMPTS):
        alone = _conditioned(served, [ids], when, objects, Sampling(6))
        assert alone.rows[0].completion_ids == grown.rows[row].completion_ids
        assert (raw(grown, row=row) - raw(alone)).abs().max() < 1e-4
        tokens = grown.rows[row].token_ids
        if check == "token":
            whole = _conditioned(served, [tokens], when, objects)
        else:
            held = ends[0] < float(_measured(plain[row][-1], objects.tensor("d", "y0"), "coordinate"))
            edits = [Edit("resid_post", 1, Add(Stored("d", "x0"), 4.0), At(tuple(range(len(ids) - 1, len(tokens)))))]
            whole = run(served, program([tokens], [Tap("resid_post")], edits if held else []), objects=objects)[0]
            changed.append(held)
        assert (raw(whole) - raw(grown, row=row)).abs().max() < 1e-4
    assert check == "token" or sorted(changed) == [False, True, True]


def test_a_prompt_in_pieces_meets_its_condition_as_in_one(engine, monkeypatch):
    served = engine("llama")
    objects = _objects(served.card)
    for check in ("token", "prefill"):
        when = _when(0.0, check)
        once = _conditioned(served, PROMPTS, when, objects, Sampling(3))
        with monkeypatch.context() as patched:
            patched.setattr(reading, "PASS_TOKENS", 6)
            pieces = _conditioned(served, PROMPTS, when, objects, Sampling(3))
        for row in range(3):
            assert (raw(once, row=row) - raw(pieces, row=row)).abs().max() < 1e-4


@pytest.mark.parametrize(
    "edit, why",
    [
        (lambda w: Edit("resid_post", 0, Add(Stored("d", "x0")), when=w), "not computed before"),
        (lambda w: Edit("mlp_out", 0, Add(Stored("d", "x0")), when=w), "not computed before"),
        (lambda w: Edit("resid_post", 1, Copy(0), when=w), "a copy has no condition"),
        (lambda w: Edit("resid_post", 1, Zero(), when=replace(w, site="mlp_act")), "as wide as the stream"),
        (lambda w: Edit("resid_post", 1, Zero(), when=replace(w, layer=9)), "layer 9"),
        (lambda w: Edit("resid_post", 1, Zero(), when=replace(w, vector=Stored("d", "none"))), "must not be 0"),
        (lambda w: Edit("resid_post", 1, Zero(), when=replace(w, vector=Stored("d", "short"))), "width 5"),
    ],
)
def test_a_condition_that_cannot_be_asked_is_refused(edit, why, engine):
    served = engine("llama")
    objects = stored(x0=torch.ones(48), y0=torch.ones(48), none=torch.zeros(48), short=torch.ones(5))
    with pytest.raises(RequestError, match=why):
        run(served, program([PROMPTS[0]], edits=[edit(_when(0.0))]), objects=objects)


def test_additions_to_many_rows_at_once_are_each_what_they_are_alone(engine, monkeypatch):
    """Different vectors, one twice on a row, another op between: as when each edit is done by itself, in the order written."""
    served = engine("llama")
    torch.manual_seed(5)
    objects = stored(a=torch.randn(served.card.d_model), b=torch.randn(served.card.d_model))

    def push(name, layer, scale, **where):
        return Edit("resid_post", layer, Add(vector(name), scale), **where)

    ablate = Edit("resid_post", 0, Ablate(vector("a")))
    ways = [
        [push("a", 0, 2.0), push("a", 1, 1.0, positions=Last())],
        [push("b", 0, -1.0), ablate, push("a", 0, 3.0)],
        [push("a", 0, 1.0, positions=Generated()), push("b", 0, 2.0)],
        [],
        [push("b", 0, 4.0, positions=At((1,))), push("b", 1, 1.0)],
    ]
    programs = [
        program([[0, 5, 6 + i, *range(9, 9 + 3 * i)]], [Tap("resid_post")], edits, Sampling(6))
        for i, edits in enumerate(ways)
    ]
    counted, apply = [], Writer.apply
    monkeypatch.setattr(Writer, "apply", lambda own, *given: (counted.append(1), apply(own, *given))[1])
    together = collect(served, [Task(one, objects) for one in programs])
    many = len(counted)
    monkeypatch.setattr(tape, "apart", lambda one, other: False)
    for one, found in zip(programs, together, strict=True):
        (alone,) = run(served, one, objects=objects)
        assert found.rows[0].completion_ids == alone.rows[0].completion_ids
        assert (raw(found) - raw(alone)).abs().max() < 1e-4
    assert many < len(counted) - many
