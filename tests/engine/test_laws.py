"""The laws of the language (DESIGN section 4) that hold at one rank: batch, step, order, identity."""

import pytest
import torch

from interp_magics.engine.protocol import Collecting, NoObjects, Task, Wish, collect
from interp_magics.program.language import (
    After,
    At,
    Edit,
    Generated,
    Gradient,
    Ids,
    Last,
    Lens,
    LogProbability,
    Program,
    Row,
    Sampling,
    Stage,
    Tap,
)
from interp_magics.program.operations import Ablate, Add, Clamp, Copy, Set, Zero
from tests.engine.running import program, raw, run, stored, vector

ROWS = [[0, 17, 44, 9, 120, 301, 77, 3], [0, 5, 6], [0, 200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211]]
NAMES = ["llama", "qwen3", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "phi3", "mixtral", "mistral", "olmo2"]
TAPS = [Tap("resid_post"), Tap("mlp_out"), Tap("attn_out")]


def steer(layer=1, scale=4.0, positions=None, site="resid_post"):
    return Edit(site, layer, Add(vector("x"), scale), **({} if positions is None else {"positions": positions}))


def push(served):
    torch.manual_seed(3)
    return stored(x=torch.randn(served.card.d_model))


@pytest.mark.parametrize("name", NAMES)
def test_1_a_row_in_a_batch_gives_what_it_gives_alone(name, engine):
    """Whoever else is in the batch: other lengths, edits, sampled and greedy rows."""
    served = engine(name)
    objects = push(served)
    programs = [
        program([ROWS[0]], TAPS, sampling=Sampling(6)),
        program([ROWS[1]], TAPS, [steer()], Sampling(9, 0.9, seed=4)),
        program([ROWS[2]], TAPS, [steer(0, 2.0, Last())]),
    ]
    together = run(served, *programs, objects=objects)
    for one, there in zip(programs, together, strict=True):
        alone = run(served, one, objects=objects)[0]
        assert there.rows == alone.rows
        for tap in range(len(TAPS)):
            assert (raw(there, tap) - raw(alone, tap)).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_1_an_unedited_row_is_bit_equal_whether_or_not_its_neighbours_are_edited(name, engine):
    served = engine(name)
    objects = push(served)
    plain, bystander = program([ROWS[0]], TAPS), program([ROWS[1]], TAPS, sampling=Sampling(4))
    edited = program([ROWS[0]], TAPS, [steer(), steer(0, 1.0, site="ln_mlp")])
    first = run(served, plain, bystander, objects=objects)[1]
    second = run(served, edited, bystander, objects=objects)[1]
    assert first.rows == second.rows
    for tap in range(len(TAPS)):
        assert torch.equal(raw(first, tap), raw(second, tap))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("positions", [None, Generated(), At((2, -1))])
def test_2_a_step_means_what_one_pass_over_the_same_tokens_means(name, positions, engine):
    served = engine(name)
    objects = push(served)
    edits = [steer(1, 5.0, positions), steer(0, 2.0, positions, "ln_attn"), Edit("head_out", 1, Zero(), index=(1,))]
    grown = run(served, program([ROWS[0]], TAPS, edits, Sampling(7)), objects=objects)[0]
    tokens = grown.rows[0].token_ids
    prompt = len(ROWS[0])
    everywhere = {None: None, Generated(): At(tuple(range(prompt, len(tokens)))), At((2, -1)): At((2, prompt - 1))}[
        positions
    ]
    fixed = [steer(1, 5.0, everywhere), steer(0, 2.0, everywhere, "ln_attn"), edits[2]]
    whole = run(served, program([tokens], TAPS, fixed), objects=objects)[0]
    for tap in range(len(TAPS)):
        assert (raw(grown, tap) - raw(whole, tap)).abs().max() < 1e-4


def test_2_forced_tokens_read_what_generated_ones_read(engine):
    served = engine("qwen3")
    grown = run(served, program([ROWS[0]], TAPS, sampling=Sampling(6, 1.0, seed=9)))[0]
    ids = grown.rows[0].completion_ids
    forced = run(served, program([ROWS[0]], TAPS, sampling=Sampling(6, forced=ids)))[0]
    assert forced.rows[0].completion_ids == ids
    assert torch.equal(raw(forced), raw(grown))


@pytest.mark.parametrize(
    "site", ["resid_pre", "ln_attn", "attn_out", "resid_mid", "ln_mlp", "mlp_out", "resid_post", "ln_final"]
)
def test_5_a_read_at_an_edited_site_sees_the_edited_value(site, engine):
    served = engine("gemma2")
    layer = 0 if site == "ln_final" else 1
    edit = Edit(site, layer, Set(vector("x")), At((3,)))
    objects = push(served)
    value = raw(run(served, program([ROWS[0]], [Tap(site, (layer,))], [edit]), objects=objects)[0])
    assert torch.allclose(value[0, 3], objects.tensors["d", "x"], atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_5_the_stream_between_sees_what_was_written_before_the_block(name, engine):
    served = engine(name)
    objects = push(served)
    edits = [Edit("resid_pre", 1, Add(vector("x"), 3.0)), Edit("resid_mid", 1, Add(vector("x"), 0.0))]
    taps = [Tap(site, (1,)) for site in ("resid_pre", "attn_out", "resid_mid")]
    outcome = run(served, program([ROWS[0]], taps, edits), objects=objects)[0]
    assert torch.allclose(raw(outcome, 0) + raw(outcome, 1), raw(outcome, 2), atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gemma2", "mistral", "gpt2"])
def test_1_and_2_patterns_of_a_row_are_its_own_in_a_batch_and_while_it_grows(name, engine):
    served = engine(name)
    tap = Tap("attn_pattern")
    alone = raw(run(served, program([ROWS[0]], [tap]))[0])
    batched = raw(run(served, program([ROWS[0]], [tap]), program([ROWS[2]], [tap]))[0])
    assert batched.shape == alone.shape and (batched - alone).abs().max() < 1e-5
    grown = run(
        served, program([ROWS[0]], [tap], sampling=Sampling(5)), program([ROWS[2]], [tap], sampling=Sampling(7))
    )[0]
    whole = raw(run(served, program([grown.rows[0].token_ids], [tap]))[0])
    assert (raw(grown) - whole).abs().max() < 1e-5


def test_5_edits_apply_in_the_order_written(engine):
    served = engine("llama")
    objects = push(served)
    add, zero = Edit("resid_post", 1, Add(vector("x"), 2.0)), Edit("resid_post", 1, Zero())
    then_zero = raw(run(served, program([ROWS[0]], [Tap("resid_post", (1,))], [add, zero]), objects=objects)[0])
    then_add = raw(run(served, program([ROWS[0]], [Tap("resid_post", (1,))], [zero, add]), objects=objects)[0])
    assert then_zero.abs().max() == 0
    assert torch.allclose(then_add[0, 0], 2.0 * objects.tensors["d", "x"], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_6_edits_that_change_nothing_change_nothing(name, engine):
    served = engine(name)
    objects = push(served)
    plain = run(served, program([ROWS[0]], TAPS, sampling=Sampling(5)), objects=objects)[0]
    sites = [
        s
        for s in ("resid_pre", "ln_attn", "attn_out", "resid_mid", "ln_mlp", "mlp_out", "resid_post")
        if s in served.card.sites
    ]
    edits = [Edit(site, layer, Add(vector("x"), 0.0)) for site in sites for layer in (0, 1, 2)]
    edits += [Edit(site, 1, Add(vector("x"), 0.0, "stream")) for site in sites]
    edits += [Edit(site, 2, Clamp(vector("x"), -1e30, 1e30)) for site in sites]
    edits += [Edit(site, 1, Copy(0)) for site in sites]
    same = run(served, program([ROWS[0]], TAPS, edits, Sampling(5)), objects=objects)[0]
    assert same.rows == plain.rows
    for tap in range(len(TAPS)):
        assert (raw(same, tap) - raw(plain, tap)).abs().max() < 1e-5


def test_6_a_clamp_to_where_it_is_changes_nothing_and_elsewhere_it_holds(engine):
    served = engine("llama")
    objects = push(served)
    unit = objects.tensors["d", "x"] / objects.tensors["d", "x"].norm()
    here = float(raw(run(served, program([ROWS[0]], [Tap("resid_post", (1,))]))[0])[0, 4] @ unit)
    plain = raw(run(served, program([ROWS[0]], TAPS))[0])
    kept = Edit("resid_post", 1, Clamp(vector("x"), here, here), At((4,)))
    assert (raw(run(served, program([ROWS[0]], TAPS, [kept]), objects=objects)[0]) - plain).abs().max() < 1e-4
    moved = Edit("resid_post", 1, Clamp(vector("x"), here + 2, here + 3), At((4,)))
    value = raw(run(served, program([ROWS[0]], TAPS, [moved]), objects=objects)[0])
    assert abs(float(value[1, 4] @ unit) - (here + 2)) < 1e-3


def test_an_ablated_direction_is_gone(engine):
    served = engine("gpt2")
    objects = push(served)
    value = raw(
        run(
            served,
            program([ROWS[0]], [Tap("resid_post", (1,))], [Edit("resid_post", 1, Ablate(vector("x")))]),
            objects=objects,
        )[0]
    )
    assert (value[0] @ objects.tensors["d", "x"]).abs().max() < 1e-3


def test_a_copy_takes_the_value_of_another_row_at_the_mapped_position(engine):
    served = engine("qwen3")
    edit = Edit("resid_post", 0, Copy(1, ((4, 2),)), At((4,)), rows=(0,))
    rows = (Row(Ids(tuple(ROWS[0]))), Row(Ids(tuple(ROWS[1]))))
    outcome = run(served, Program(rows, (Stage((Tap("resid_post", (0, 2)),), (edit,)),)))[0]
    source = raw(outcome, row=1)[0, 2]
    assert torch.equal(raw(outcome, row=0)[0, 4], source)
    plain = raw(run(served, program([ROWS[0]], [Tap("resid_post", (2,))]))[0])
    assert (raw(outcome, row=0)[1, 4] - plain[0, 4]).abs().max() > 1e-4
    assert (raw(outcome, row=0)[1, :4] - plain[0, :4]).abs().max() < 1e-5


def test_a_later_stage_uses_what_an_earlier_one_kept(engine):
    from interp_magics.program.operations import Ref

    served = engine("llama")
    keep = Stage((Tap("resid_post", (1,), Last(), reduce=None, keep="end"),), rows=(1,))
    use = Stage((Tap("resid_post", (1,)),), (Edit("resid_post", 1, Set(Ref("end", 1, row=1)), At((0,)), rows=(0,)),))
    rows = (Row(Ids(tuple(ROWS[0]))), Row(Ids(tuple(ROWS[1]))))
    outcome = run(served, Program(rows, (keep, use)))[0]
    assert torch.allclose(raw(outcome, row=0, stage=1)[0, 0], raw(outcome, row=1, stage=1)[0, -1], atol=1e-5)


def test_a_fault_of_one_program_is_its_own(engine):
    served = engine("llama")
    broken = program([ROWS[0]], TAPS, [steer()])
    wrong = stored(x=torch.ones(7))
    results = collect(served, [Task(program([ROWS[1]], TAPS), NoObjects()), Task(broken, wrong)])
    assert raw(results[0]).shape[1] == len(ROWS[1])
    assert "width 7" in str(results[1]) and "48" in str(results[1])


def test_a_cancelled_row_stops_within_a_step_and_its_neighbours_go_on(engine):
    from interp_magics.errors import Cancelled

    class Impatient(Collecting):
        steps = 0

        def cancelled(self, task):
            self.steps += task == 0
            return task == 0 and self.steps > 3

    served, host = engine("qwen3"), Impatient()
    one, other = (program([ROWS[0]], sampling=Sampling(40, 1.0, seed=s)) for s in (1, 2))
    results = collect(served, [Task(one, NoObjects()), Task(other, NoObjects())], host)
    assert isinstance(results[0], Cancelled) and host.steps == 4
    assert results[1].rows == run(served, other)[0].rows


@pytest.mark.parametrize(
    "make",
    [
        lambda: Program((Row(Ids((0, 1))),), (Stage((Tap("resid_post", layers=()),)),)),
        lambda: Program((Row(Ids((0, 1))),), (Stage((Tap("resid_post", rows=()),)),)),
        lambda: Program(
            (Row(Ids((0, 1))), Row(Ids((0, 2)))), (Stage((), (Edit("resid_post", 0, Copy(1)),), rows=(0,)),)
        ),
        lambda: Program((Row(Ids((0, 1))),), (Stage((), (Edit("q", 0, Zero(), index=()),)),)),
        lambda: Program((Row(Ids((0, 1))),), (Stage((Tap("resid_post", index=(1,), reduce=Lens()),)),)),
        lambda: Program((Row(Ids((0, 1)), Sampling(2, forced=())),)),
        lambda: Program((Row(Ids((0, 1)), Sampling(2, forced=(9999,))),)),
        lambda: Program((Row(Ids((0, 1))),), (Stage((), (Edit("resid_post", 0, Add(vector("wide"))),)),)),
    ],
)
def test_a_program_that_means_nothing_is_refused_and_takes_nobody_along(make, engine):
    from interp_magics.errors import RequestError

    served = engine("llama")
    objects = stored(wide=torch.ones(3, served.card.d_model))
    results = collect(served, [Task(make(), objects), Task(program([ROWS[1]], TAPS), objects)])
    assert isinstance(results[0], RequestError) and raw(results[1]).shape[1] == len(ROWS[1])


def test_a_lens_of_no_positions_is_empty(engine):
    outcome = run(engine("llama"), program([ROWS[0]], [Tap("resid_post", positions=After(1), reduce=Lens())]))[0]
    assert outcome.readings[0][0].values[0].top_ids.shape == (3, 0, 5)


def test_any_fault_in_a_pass_fails_one_alone(engine, monkeypatch):
    served = engine("llama")
    whole = type(served._runner).run

    def run_broken(self, work, *rest):
        if any(row.encoded.ids == tuple(ROWS[1]) for row in work.rows):
            raise RuntimeError("a bug")
        return whole(self, work, *rest)

    monkeypatch.setattr(type(served._runner), "run", run_broken)
    results = collect(served, [Task(program([row], TAPS), NoObjects()) for row in ROWS])
    assert [isinstance(r, RuntimeError) for r in results] == [False, True, False]
    assert len(results[0].readings) == 1


def test_memory_that_runs_out_splits_the_batch_and_fails_one_alone(engine, monkeypatch):
    served = engine("llama")
    tried = []
    whole = type(served._runner).run

    def run_short(self, work, *rest):
        tried.append(len(work.rows))
        if len(work.rows) > 1 or work.rows[0].encoded.ids == tuple(ROWS[1]):
            raise torch.OutOfMemoryError("no more")
        return whole(self, work, *rest)

    monkeypatch.setattr(type(served._runner), "run", run_short)
    results = collect(served, [Task(program([row], TAPS), NoObjects()) for row in ROWS])
    assert tried == [3, 1, 1, 1]
    assert [isinstance(r, torch.OutOfMemoryError) for r in results] == [False, True, False]


class Lending(Collecting):
    """A host with other work to be done between two steps."""

    def __init__(self, served, others, objects, when):
        self.served, self.others, self.objects, self.when = served, others, objects, when
        super().__init__()
        self.steps, self.found = 0, []

    def generated(self, task, row, completion):
        self.steps += 1

    def wish(self, joins):
        return Wish.PAUSE if self.steps in self.when and len(self.found) < len(self.when) else Wish.GO_ON

    def pause(self):
        self.found.append(collect(self.served, [Task(one, self.objects) for one in self.others]))


@pytest.mark.parametrize("name", ["llama", "gemma2", "mistral", "gpt2", "gpt_neox"])
def test_1_work_between_two_steps_changes_neither_it_nor_what_it_interrupts(name, engine):
    served = engine(name)
    objects = push(served)
    long = program([ROWS[0], ROWS[1]], TAPS, [steer(1, 3.0)], Sampling(9, 0.8, seed=6))
    others = [
        program([ROWS[2]], [Tap("resid_post", reduce=Lens()), *TAPS], [steer(0, 2.0)], Sampling(4)),
        program([ROWS[1]], [Tap("attn_pattern")]),
        Program((Row(Ids(tuple(ROWS[0]))),), (Stage((), (), (Gradient(LogProbability(7), (Tap("mlp_out"),)),)),)),
    ]
    host = Lending(served, others, objects, (2, 4, 6))
    (interrupted,) = collect(served, [Task(long, objects)], host)
    assert len(host.found) == 3
    (whole,) = run(served, long, objects=objects)
    assert interrupted.rows == whole.rows
    for tap in range(len(TAPS)):
        for row in (0, 1):
            assert torch.equal(raw(interrupted, tap, row), raw(whole, tap, row))
    alone = [run(served, one, objects=objects)[0] for one in others]
    for found in host.found:
        assert found[0].rows == alone[0].rows
        assert torch.equal(raw(found[0], 1), raw(alone[0], 1)) and torch.equal(raw(found[1]), raw(alone[1]))
        mine, theirs = (o.gradients[0][0].readings[0].values[0]["values"] for o in (found[2], alone[2]))
        assert torch.allclose(mine, theirs, atol=1e-6)
