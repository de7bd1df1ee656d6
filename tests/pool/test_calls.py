"""The calls of a notebook, through real processes and sockets, against the engine run here."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import interp_magics as im
from interp_magics.data import results
from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import ModelSpec
from interp_magics.program.language import Edit, Gradient, Ids, Lens, LogitDifference, Program, Row, Stage, Tap
from interp_magics.program.operations import Zero
from tests.engine.running import program, raw, run
from tests.pool.conftest import until_begun

IDS = [0, 17, 44, 9, 120, 301]


@pytest.fixture(scope="module")
def engine(model):
    return load(ModelSpec("here", str(model), device="cpu"))


def test_a_lens_through_the_pool_is_the_engines(pool, engine):
    made = pool.lens(IDS, layers="::2", top_k=4, track=[7, 9], sites="resid_post,mlp_out")
    here = run(engine, program([IDS], [Tap(s, (0, 2), reduce=Lens(top_k=4, track=(7, 9))) for s in made.sites]))[0]
    assert made.layers == (0, 2) and made.sites == ("resid_post", "mlp_out")
    for site in (0, 1):
        arrays = here.readings[0][site].values[0]
        assert np.array_equal(made.top_ids[site], arrays.top_ids.numpy())
        assert np.abs(made.top_logprobs[site] - arrays.top_logprobs.numpy()).max() < 1e-4
        assert np.abs(made.kl_final[site] - arrays.kl_final.numpy()).max() < 1e-4
        assert np.abs(made.tracked_ranks[site] - arrays.tracked_ranks.numpy()).max() <= 1
    assert made.top_ids.dtype == np.int32 and made.top_logprobs.dtype == np.float32


def test_what_made_a_result_is_kept_with_it(pool, model, tmp_path):
    made = pool.lens("Paris is", generate=3, seed=11, temperature=0.5)
    origin = made.provenance
    assert origin.model == model.name and len(origin.digest) == 64 and origin.dtype == "float32"
    assert origin.request["sampling"]["seed"] == 11 and origin.versions["torch"]
    loaded = im.load(made.save(tmp_path / "run.safetensors"))
    assert np.array_equal(loaded.top_ids, made.top_ids) and loaded.tokens == made.tokens
    assert loaded.provenance == origin


def test_tokens_that_are_read_and_sampled_are_counted_as_promised(pool):
    made = pool.lens(IDS, generate=5)
    assert len(made.completion_ids) == 5 and len(made.token_ids) == len(IDS) + 4
    assert made.top_ids.shape[2] == len(made.positions) == len(IDS) + 4
    assert made.token_ids[len(IDS)] == made.completion_ids[0]


def test_a_seed_that_was_not_given_is_drawn_once_and_kept(pool):
    made = pool.generate(IDS, 6, temperature=1.0)
    seed = made.provenance.request["sampling"]["seed"]
    assert np.array_equal(pool.generate(IDS, 6, temperature=1.0, seed=seed).completion_ids, made.completion_ids)


def test_a_list_of_texts_gives_results_in_order_and_a_text_gives_one(pool):
    several = pool.lens(["The quick", "Paris is the capital"])
    assert ["".join(r.tokens) for r in several] == ["The quick", "Paris is the capital"]
    assert pool.lens("The quick").top_ids.shape == several[0].top_ids.shape
    chat = pool.lens([{"role": "user", "content": "hi"}])
    assert "".join(chat.tokens) == "<s>user: hi\n"


@pytest.mark.parametrize(
    "text", ["{x} $y; \"q\" 'r'", "  two leading", "漢字 é 😀", "</script><b>", "\u202ebidi\u200b", "a\nb\n"]
)
def test_texts_come_back_as_they_went(pool, text):
    made = pool.lens(text)
    decoded = b"".join(bytes.fromhex(t[1:-1]) if _is_bytes(t) else t.encode() for t in made.tokens)
    assert decoded.decode() == text


def _is_bytes(token):
    return token.startswith("<") and token.endswith(">") and all(c in "0123456789ABCDEF " for c in token[1:-1])


def test_a_capture_holds_the_values_of_every_row_and_site(pool, engine, tmp_path):
    acts = pool.capture([IDS, IDS[:3]], layers=[2, 0], sites=["resid_post", "head_out"], generate=2)
    here = run(engine, program([IDS], [Tap("resid_post", (2, 0)), Tap("head_out", (2, 0))], sampling=None))[0]
    assert np.abs(acts.array("resid_post", 2)[: len(IDS)] - raw(here)[0].numpy()).max() < 1e-4
    assert np.abs(acts.array("head_out", 0)[: len(IDS)] - raw(here, 1)[1].numpy()).max() < 1e-4
    assert acts.array("blocks.0.hook_resid_post", row=1).shape == (4, 48)
    loaded = im.load(acts.save(tmp_path / "acts.safetensors"))
    assert np.array_equal(loaded.array("head_out", 2, row=1), acts.array("head_out", 2, row=1))
    frame = acts.to_pandas()
    assert set(frame.columns) >= {"row", "site", "layer", "position", "token", "norm"}
    with pytest.raises(im.RequestError, match="was not captured"):
        acts.array("mlp_out", 0)


def test_a_capture_in_bfloat16_and_its_moments(pool):
    exact = pool.capture([IDS], sites="mlp_out").array("mlp_out")
    short = pool.capture([IDS], sites="mlp_out", dtype="bfloat16").array("mlp_out")
    assert (
        short.dtype.name == "bfloat16" and np.abs(short.astype(np.float32) - exact).max() < 0.01 * np.abs(exact).max()
    )
    moments = pool.capture([IDS], sites="mlp_out", reduce="moments")
    assert np.allclose(moments.array("mlp_out", 1, statistic="mean"), exact[1].mean(0), atol=1e-5)
    assert np.allclose(moments.array("mlp_out", 1, statistic="variance"), exact[1].var(0), atol=1e-5)


def test_a_large_result_comes_whole_while_others_are_answered(pool):
    job = pool.capture(
        [list(range(100))] * 40, sites="resid_post,mlp_act,attn_pattern,resid_mid,mlp_out,attn_out", wait=False
    )
    assert pool.tokenize("still here").tokens
    acts = job.result(120)
    assert acts.nbytes > 12 << 20
    assert np.array_equal(acts.array("resid_post", 1, row=0), acts.array("resid_post", 1, row=39))


def test_steering_with_a_vector_puts_it_once_and_changes_what_is_said(pool):
    vector = im.SteeringVector({1: np.full(48, 3.0)}, name="push")
    plain, steered = pool.generate(IDS, 8), pool.generate(IDS, 8, steer=vector * 4.0)
    assert plain.text != steered.text
    assert np.array_equal(pool.generate(IDS, 8, steer=vector * 0.0).completion_ids, plain.completion_ids)
    both = pool.generate([IDS, IDS], 8, steer=(vector * 4.0).edit(rows=(1,)))
    assert [c.text for c in both] == [plain.text, steered.text]


def test_a_program_by_hand(pool, engine):
    made = Program((Row(Ids(tuple(IDS))),), (Stage((Tap("resid_post", (1,)),), (Edit("mlp_out", 0, Zero()),)),))
    read = pool.run(made).read()
    assert np.abs(read["values"] - raw(run(engine, made)[0]).numpy()).max() < 1e-4
    assert read["positions"].tolist() == list(range(len(IDS)))


def test_an_estimate_costs_no_pass_and_names_its_figures(pool):
    estimate = pool.estimate(pool.request("lens", "The quick brown", layers="-1", generate=4))
    assert estimate.tokens == len(pool.tokenize("The quick brown")) + 3
    assert "estimates" in str(estimate) and estimate.seconds > 0


def test_jobs_can_be_awaited_iterated_and_found_again(pool):
    async def use():
        job = pool.generate(IDS, 60, temperature=1.0, seed=3, wait=False)
        parts = [part async for part in job]
        return job, parts, await job

    with ThreadPoolExecutor() as elsewhere:  # the browser tests keep a loop running in this thread
        job, parts, made = elsewhere.submit(lambda: asyncio.run(use())).result()
    assert any(part.part == "started" for part in parts)
    assert [p.seq for p in parts if p.part == "generated"] == sorted(p.seq for p in parts if p.part == "generated")
    again = pool.job(job.id).result(120)
    assert np.array_equal(again.completion_ids, made.completion_ids)
    assert job.id in [info.job for info in pool.jobs()]


def test_a_cancelled_job_is_acknowledged_and_frees_the_worker(pool):
    job = pool.generate([IDS] * 4, 110, temperature=1.0, wait=False)
    assert job.cancel(120)
    with pytest.raises(im.Cancelled):
        job.result()


def test_rows_of_many_jobs_share_a_batch_and_each_gets_its_own(pool):
    jobs = [pool.lens(IDS[: 2 + i % 4], generate=1 + i % 3, wait=False) for i in range(24)]
    made = [job.result(120) for job in jobs]
    assert [len(m.completion_ids) for m in made] == [1 + i % 3 for i in range(24)]
    alone = pool.lens(IDS[:5], generate=1)
    assert np.abs(made[3].top_logprobs[:, :, :5] - alone.top_logprobs).max() < 1e-4


def test_results_read_as_text_and_a_foreign_one_is_refused(pool):
    made = pool.lens("The quick")
    assert "LensRun" in repr(made) and "layer" in str(made)
    assert set(made.to_pandas().columns) >= {"site", "layer", "position", "top_id", "logprob", "entropy", "kl_final"}
    with pytest.raises(im.RequestError):
        results.decode(b"not a result")


def test_pools_of_one_process_for_one_model_are_one(pool, model):
    with im.connect(model=str(model), threads=1) as another:
        run = pool.lens(IDS, keep=60)
        assert another.decode(run).provenance.kept
    assert pool.decode(run).provenance.kept


def test_ids_and_counts_may_be_numpys(pool):
    run = pool.lens(IDS, top_k=np.int64(3), layers=np.arange(2), track=[5])
    again = pool.lens(np.array(IDS), track=run.top_ids[0, -1, -1], positions=np.array([1, -1]))
    assert again.tracked_ids.tolist() == run.top_ids[0, -1, -1].tolist()
    frame = run.to_pandas()
    assert len(frame.filter(like="logprob of").columns) == len(frame.filter(like="rank of").columns) == 1
    assert frame.filter(like="rank of").iloc[-1, 0] == run.tracked_ranks[0, -1, -1, 0]


def test_several_runs_show_themselves(pool):
    runs = pool.lens(["The quick", "Paris"])
    bundle, _ = runs._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle and bundle["text/html"].count("<table") == 2


def test_what_an_edit_made_infinite_is_told_and_harms_no_neighbour(pool):
    far = im.SteeringVector({0: np.full(48, 3e38)})
    jobs = [
        pool.lens(IDS, steer=far, wait=False),
        pool.generate(IDS, 4, steer=far, wait=False),
        pool.lens(IDS, wait=False),
    ]
    for job in jobs[:2]:
        with pytest.raises(im.RequestError, match="too large"):
            job.result(120)
    assert jobs[2].result(120).top_ids.shape[1] == 3


def test_a_gradient_through_the_pool_is_the_engines(pool, engine):
    gradient = Gradient(LogitDifference(7, 9), (Tap("resid_post"), Tap("mlp_act", (1,))))
    made = Program((Row(Ids(tuple(IDS))), Row(Ids(tuple(IDS[:3])))), (Stage((), (), (gradient,)),))
    there, here = pool.run(made), run(engine, made)[0].gradients[0][0]
    assert np.allclose(there.metric(), here.metric, atol=1e-4)
    for tap, row in ((0, 0), (0, 1), (1, 1)):
        assert (
            np.abs(there.gradient(tap=tap, row=row)["values"] - here.readings[tap].values[row]["values"].numpy()).max()
            < 1e-4
        )
    with pytest.raises(im.RequestError, match="no reading of gradient 1"):
        there.metric(gradient=1)
    with pytest.raises(im.RequestError, match="no gradient by 'logits'"):
        pool.run(Program(made.rows, (Stage((), (), (Gradient(LogitDifference(7, 9), (Tap("logits"),)),)),)))


def test_a_short_job_does_not_wait_for_a_long_batch(pool):
    long = pool.generate([[0, i] for i in range(60)], 120, temperature=1.0, seed=1, wait=False)
    until_begun(long)
    short = pool.lens(IDS)
    assert not long.done
    assert np.array_equal(short.top_ids, pool.lens(IDS).top_ids)
    made = long.result(120)
    again = pool.generate([[0, i] for i in range(60)], 120, temperature=1.0, seed=1)
    assert all(np.array_equal(a.completion_ids, b.completion_ids) for a, b in zip(made, again, strict=True))


def test_a_long_job_joins_a_longer_one_that_runs_already(pool):
    """The second has more steps than a pause lends; it ends while the first still runs, and each is what it is alone."""
    first = pool.generate([[0, i] for i in range(20)], 120, temperature=1.0, seed=1, wait=False)
    until_begun(first)
    second = pool.lens(IDS, generate=70, temperature=1.0, seed=2)
    assert not first.done
    alone = pool.lens(IDS, generate=70, temperature=1.0, seed=2)
    assert np.array_equal(second.top_ids[:, :, 0], alone.top_ids[:, :, 0])
    made = first.result(120)
    again = pool.generate([[0, i] for i in range(20)], 120, temperature=1.0, seed=1)
    assert all(np.array_equal(a.completion_ids, b.completion_ids) for a, b in zip(made, again, strict=True))
