"""Programs stay right under what vLLM does to requests: it shares pages, cuts prompts, takes pages away, and drops them."""

from dataclasses import replace

import numpy as np
import pytest

from interp_magics.errors import Cancelled
from interp_magics.program.language import (
    After,
    At,
    Edit,
    Generated,
    Ids,
    Last,
    Lens,
    Program,
    Prompt,
    Row,
    Sampling,
    Stage,
    Tap,
)
from interp_magics.program.operations import Add, Copy, Ref, When
from tests.engine.cases import check_same, objects
from tests.engine.running import program, raw, run, vector
from tests.vllm.side import Rounds, run_rounds


@pytest.fixture(params=["first", "ahead"])
def told_of(request, tmp_path):
    """What rounds of programs give, with each of vLLM's runners."""
    return lambda rounds: run_rounds(tmp_path, replace(rounds, runner=request.param))


PROMPT = [0, *np.random.default_rng(3).integers(2, 380, 70).tolist()]
OTHER = [0, *np.random.default_rng(4).integers(2, 380, 70).tolist()]
PAGES = {"block_size": 32}
TAPS = [Tap("resid_post"), Tap("mlp_out")]


def steer(scale=3.0, positions=None, layer=1):
    return Edit("resid_post", layer, Add(vector("d"), scale), **({} if positions is None else {"positions": positions}))


@pytest.mark.parametrize("positions", [None, Last(), Generated()])
def test_what_was_edited_never_stands_for_what_was_not(positions, reference, root, told_of):
    """Pages are shared by equal edits alone, and never stand for positions that are read."""
    served = reference("qwen3")
    vectors = objects(served.card)
    plain, edited = program([PROMPT], sampling=Sampling(8)), [steer(positions=positions)]
    steered, read = (
        program([PROMPT], (), edited, Sampling(8)),
        program([PROMPT], [*TAPS, Tap("resid_post", reduce=Lens())]),
    )
    stronger = program([PROMPT], (), [steer(4.0, positions)], Sampling(8))
    late = program([PROMPT], [Tap("resid_post", positions=Last())], sampling=Sampling(2))
    rounds = [[steered], [plain], [steered], [stronger], [read], [plain], [late]]
    told = told_of(Rounds(root / "qwen3", rounds, vectors, PAGES))
    for programs, found in zip(rounds, told.outcomes, strict=True):
        check_same(run(served, *programs, objects=vectors)[0], found[0])
    assert [bool(cached) for cached in told.cached] == [False, False, True, False, False, True, True]


@pytest.mark.parametrize("step", [16, 7])
def test_positions_that_are_asked_for_are_those_that_are_edited_and_read_in_prompts_that_are_cut(
    step, reference, root, told_of
):
    served = reference("llama")
    vectors = objects(served.card)
    prompt = PROMPT[:40]
    asked = [
        program([prompt], [Tap("resid_post", positions=At((0, 20, 39)))], [steer(positions=At((0,)))], Sampling(8)),
        program([prompt], TAPS, [steer(positions=At((20,)))], Sampling(8)),
        program([OTHER[:33]], TAPS, [steer(positions=At((15, 16, 17, 32)))], Sampling(4)),
    ]
    cut = {**PAGES, "max_num_batched_tokens": step, "max_num_seqs": 4}
    told = told_of(Rounds(root / "llama", [asked], vectors, cut))
    for one, found in zip(asked, told.outcomes[0], strict=True):
        check_same(run(served, one, objects=vectors)[0], found)
    clean = raw(run(served, program([prompt], TAPS), objects=vectors)[0])
    moved = (raw(told.outcomes[0][1])[1, :40] - clean[1]).abs().amax(-1) > 1e-3
    assert moved.nonzero().flatten().tolist() == [20]


def test_rows_copy_from_those_that_have_passed_before_what_they_were_at_that_point_of_the_edits(
    reference, root, told_of
):
    served = reference("qwen3")
    vectors = objects(served.card)
    texts = (PROMPT[:40], OTHER[:40], [*OTHER[:20], *PROMPT[:13]])
    rows = tuple(Row(Ids(tuple(ids)), Sampling(new)) for ids, new in zip(texts, (5, 8, 4), strict=True))
    edits = (
        Edit("resid_post", 1, Add(vector("d"), 2.0), rows=(0,)),
        Edit("resid_post", 1, Copy(0), rows=(1,)),
        Edit("resid_post", 1, Add(vector("d"), 5.0), At((3, 17)), rows=(0,)),
        Edit("head_out", 2, Copy(0), rows=(1,), index=(1, 2)),
        Edit("resid_mid", 0, Copy(1, ((3, 30), (20, 5))), At((3, 20)), rows=(2,)),
        Edit("mlp_out", 0, Copy(2, ((31, 2),)), At((31,)), rows=(2,)),
    )
    asked = Program(rows, (Stage((*TAPS, Tap("resid_post", reduce=Lens(top_k=3))), edits),))
    circle = (*edits, Edit("resid_post", 0, Copy(2), rows=(0,)))
    cut = {**PAGES, "max_num_batched_tokens": 16, "max_num_seqs": 4}
    refused = Program(rows, (Stage(TAPS, circle),))
    told = told_of(Rounds(root / "qwen3", [[asked, refused], [asked]], vectors, cut))
    (expected,) = run(served, asked, objects=vectors)
    check_same(expected, told.outcomes[0][0])
    check_same(expected, told.outcomes[1][0])
    assert "rows copy from one another (row 1 from row 0 from row 2 from row 1)" in str(told.outcomes[0][1])
    plain = run(served, Program(rows, (Stage(TAPS),)), objects=vectors)[0]
    assert (raw(expected, row=1) - raw(plain, row=1)).abs().max() > 1e-2


def test_steps_in_which_something_is_read_or_written_run_outside_of_cuda_graphs_and_others_within(
    reference, root, told_of
):
    vectors = objects(reference("qwen3").card)
    plain, steered = program([PROMPT], sampling=Sampling(4)), program([OTHER], (), [steer()], Sampling(4))
    rounds = [[plain], [steered], [plain], [program([PROMPT], TAPS)], [plain]]
    told = told_of(Rounds(root / "qwen3", rounds, vectors, PAGES))
    assert [set(steps) for steps in told.ungraphed] == [{False}, {True}, {False}, {True}, {False}]


def test_rows_that_lose_their_pages_and_are_read_again_give_the_same(reference, root, told_of):
    """Pages for two of five rows: the others wait, or begin anew in the middle."""
    served = reference("qwen3")
    vectors = objects(served.card)
    taps = [*TAPS, Tap("resid_post", reduce=Lens(top_k=3)), Tap("ln_final", positions=Generated())]
    asked = [
        program([[*PROMPT[: 50 + n], n]], taps, [steer(float(n), Generated())] if n % 2 else (), Sampling(60))
        for n in range(5)
    ]
    few = {**PAGES, "num_gpu_blocks_override": 10, "max_model_len": 160}
    told = told_of(Rounds(root / "qwen3", [asked], vectors, few))
    assert told.preempted[0] > 0
    for one, found in zip(asked, told.outcomes[0], strict=True):
        check_same(run(served, one, objects=vectors)[0], found)


def test_a_cancelled_row_leaves_and_others_go_on(reference, root, told_of):
    served = reference("qwen3")
    vectors = objects(served.card)
    asked = [program([PROMPT], TAPS, sampling=Sampling(30)), program([OTHER], TAPS, [steer()], Sampling(12))]
    told = told_of(Rounds(root / "qwen3", [asked, asked], vectors, PAGES, cancel={0: 0}))
    assert isinstance(told.outcomes[0][0], Cancelled)
    check_same(run(served, asked[1], objects=vectors)[0], told.outcomes[0][1])
    for one, found in zip(asked, told.outcomes[1], strict=True):
        check_same(run(served, one, objects=vectors)[0], found)


def test_a_fault_in_a_pass_ends_no_task_that_can_run_alone(reference, root, told_of):
    served = reference("qwen3")
    vectors = objects(served.card)
    asked = [program([PROMPT], TAPS, sampling=Sampling(6)), program([OTHER], TAPS, [steer()], Sampling(5))]
    told = told_of(Rounds(root / "qwen3", [asked, asked[:1], asked], vectors, PAGES, fault=0))
    for programs, outcomes in zip([asked, asked[:1], asked], told.outcomes, strict=True):
        for one, found in zip(programs, outcomes, strict=True):
            check_same(run(served, one, objects=vectors)[0], found)


def test_what_streams_is_told_once_though_a_fault_begins_it_anew(reference, root, told_of):
    served = reference("qwen3")
    vectors = objects(served.card)
    asked = [
        program([PROMPT], [Tap("resid_post", reduce=Lens(stream=True))], sampling=Sampling(40)),
        program([OTHER], (), [steer()], Sampling(30)),
    ]
    told = told_of(Rounds(root / "qwen3", [asked], vectors, PAGES, fault=0, at=25))
    assert told.streamed[0] == sorted(set(told.streamed[0])) and told.streamed[0][-1] > len(PROMPT)
    for one, found in zip(asked, told.outcomes[0], strict=True):
        check_same(run(served, one, objects=vectors)[0], found)


def test_a_lens_ends_where_a_row_does_though_a_step_was_ahead_of_it(reference, root, told_of):
    served = reference("qwen3")
    (free,) = run(served, program([PROMPT], sampling=Sampling(12)))
    stop = served.tokens.decode(free.rows[0].completion_ids[5:6])
    lenses = [Tap("resid_post", reduce=Lens(stream=True)), Tap("resid_post", positions=Generated(), reduce=Lens())]
    asked = [program([PROMPT], taps, sampling=Sampling(12, stop=(stop,))) for taps in (lenses[:1], lenses)]
    expected = [run(served, one)[0] for one in asked]
    assert expected[0].rows[0].finish == "stop" and len(expected[0].rows[0].completion_ids) < 12
    told = told_of(Rounds(root / "qwen3", [asked], objects(served.card), PAGES))
    for one, found in zip(expected, told.outcomes[0], strict=True):
        assert [reading.positions for reading in found.readings[0]] == [r.positions for r in one.readings[0]]
        check_same(one, found)


def same_as_fresh(served, root, told_of, rounds, vectors, **more):
    """Each round's programs give what the reference engine gives, whatever came before."""
    told = told_of(Rounds(root / "qwen3", rounds, vectors, {**PAGES, **more.pop("options", {})}, **more))
    for programs, outcomes in zip(rounds, told.outcomes, strict=True):
        for one, found in zip(programs, outcomes, strict=True):
            check_same(run(served, one, objects=vectors)[0], found)
    return told


def test_a_prompt_that_goes_on_where_an_edited_one_ended_is_its_own(reference, root, told_of):
    """The same edits of the last position, of what is generated, of the prompt, and under a condition on it, of a longer prompt."""
    served = reference("qwen3")
    vectors = objects(served.card)
    when = When("resid_post", 0, vector("d"), -100.0, "prefill")
    ways = [
        [steer(positions=Last())],
        [steer(positions=Generated())],
        [steer(positions=Prompt())],
        [Edit("resid_post", 1, Add(vector("d"), 3.0), when=when)],
        [steer(positions=At((-2,)))],
    ]
    rounds = []
    for edits in ways:
        first = program([PROMPT[:64]], (), edits, Sampling(40))
        longer = [*PROMPT[:64], *run(served, first, objects=vectors)[0].rows[0].completion_ids, 7, 8]
        rounds += [[first], [program([longer], (), edits, Sampling(6))]]
    told = same_as_fresh(served, root, told_of, rounds, vectors)
    assert not any(told.cached)


def test_a_condition_along_what_an_earlier_stage_kept_shares_nothing(reference, root, told_of):
    served = reference("qwen3")
    vectors = objects(served.card)

    def asked(position):
        keep = Stage((Tap("resid_post", (0,), positions=At((position,)), reduce=None, keep="k"),))
        when = When("resid_post", 0, Ref("k", 0, 0, 0), 0.5, "token", "cosine")
        edit = Edit("resid_post", 1, Add(vector("d"), 3.0), when=when)
        return Program(
            (Row(Ids(tuple(PROMPT)), Sampling(8)),),
            (keep, Stage((Tap("resid_post", (2,), positions=Last()),), (edit,))),
        )

    same_as_fresh(served, root, told_of, [[asked(3)], [asked(40)]], vectors)


def test_rows_that_fill_the_context_end(reference, root, told_of):
    """The reference engine reads as many tokens as the context has; vLLM's own is one longer."""
    served = reference("qwen3")
    vectors = objects(served.card)
    tap = Tap("resid_post", (1,), positions=Last())
    asked = [
        program([PROMPT[:64]], [tap]),
        program([PROMPT[:64]], [tap], sampling=Sampling(1)),
        program([PROMPT[:60]], [tap], sampling=Sampling(5)),
        program([PROMPT[:60]], [tap], sampling=Sampling(5, forced=(3, 4, 5, 6, 7))),
    ]
    same_as_fresh(served, root, told_of, [asked, asked], vectors, options={"max_model_len": 65})


def test_forced_rows_are_read_after_a_token_though_their_beginning_is_known(reference, root, told_of):
    served = reference("qwen3")
    vectors = objects(served.card)
    forced = Sampling(8, forced=(20, 21, 22, 23, 24, 25, 26, 27))
    plain = program([[*PROMPT[:60], 20, 21, 22, 23]], sampling=Sampling(2))
    after = program([PROMPT[:60]], [Tap("resid_post", positions=After(21))], sampling=forced)
    same_as_fresh(served, root, told_of, [[plain], [after]], vectors)


def test_a_fault_leaves_no_page_that_stands_for_anything_and_no_stage_behind(reference, root, told_of):
    """Nothing is read before the last position, so that pages are used again; one task has two stages."""
    served = reference("qwen3")
    vectors = objects(served.card)
    keep = Stage((Tap("resid_post", (0,), positions=Last(), reduce=None, keep="k"),))
    then = Stage((Tap("resid_post", (2,), positions=Last()),), (Edit("resid_post", 1, Add(Ref("k", 0), 2.0), Last()),))
    staged = Program((Row(Ids(tuple(PROMPT)), Sampling(3)),), (keep, then))
    plain = program([OTHER], [Tap("resid_post", (2,), positions=Last())], sampling=Sampling(6))
    told = told_of(Rounds(root / "qwen3", [[staged, plain], [plain, staged]], vectors, PAGES, fault=0))
    for programs, outcomes in zip([[staged, plain], [plain, staged]], told.outcomes, strict=True):
        for one, found in zip(programs, outcomes, strict=True):
            expected = run(served, one, objects=vectors)[0]
            assert found.rows == expected.rows
            assert (raw(found, stage=len(one.stages) - 1) - raw(expected, stage=len(one.stages) - 1)).abs().max() < 1e-3
