"""A group of two ranks in a real pool: the same answers, no port of its own, and one life for all its processes."""

import os
import signal
import threading
import time

import numpy as np
import psutil
import pytest

import interp_magics as im
from interp_magics import training
from interp_magics.errors import RequestError
from interp_magics.program.language import Gradient, Ids, LogitDifference, Program, Row, Stage, Tap
from tests.pool.conftest import named, until_begun, wait_for
from tests.pool.test_training import corpus_of, recipe, same

IDS = [0, 17, 44, 9, 120, 301]


@pytest.fixture
def two_ranks(own, unshared, model):
    with im.connect(model=str(model), tp=2, threads=1) as pool:
        pool.card()
        yield pool


def _ranks(own):
    return [p for p in own() if named(p, "--process")]


def test_two_ranks_in_a_pool(own, two_ranks, shared_pool):
    push = im.SteeringVector({1: np.full(48, 0.5)}, name="push")
    options = {"generate": 6, "temperature": 0.8, "seed": 4, "steer": push * 2.0, "track": [5], "keep": 60}
    mine, theirs = two_ranks.lens(IDS, **options), shared_pool.lens(IDS, **options)
    assert np.array_equal(mine.token_ids, theirs.token_ids)
    assert np.abs(mine.top_logprobs - theirs.top_logprobs).max() < 1e-4
    kept = two_ranks.decode(mine, top_k=3, track=[9])
    assert kept.provenance.kept and np.array_equal(kept.top_ids, mine.top_ids[..., :3])
    assert len(_ranks(own)) == 2
    listening = [c for p in _ranks(own) for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert listening == []


def test_a_short_job_runs_between_the_steps_of_a_long_one(two_ranks):
    long = two_ranks.generate([[0, i] for i in range(40)], 120, temperature=1.0, seed=1, wait=False)
    until_begun(long)
    short = [two_ranks.lens(IDS, keep=60), two_ranks.lens(IDS)]
    assert two_ranks.decode(short[0]).provenance.kept and not long.done
    assert np.array_equal(short[0].top_ids, short[1].top_ids)
    again = two_ranks.generate([[0, i] for i in range(40)], 120, temperature=1.0, seed=1)
    assert all(np.array_equal(a.completion_ids, b.completion_ids) for a, b in zip(long.result(120), again, strict=True))


def test_a_dictionary_is_trained_spliced_and_measured_as_on_one_rank(two_ranks, shared_pool):
    draw = np.random.default_rng(0)
    texts = [[int(i) for i in draw.integers(5, 300, 30)] for _ in range(80)]
    recipes = [
        im.Recipe(32, "topk", k=4, layer=1, site=site, tokens=4_000, batch=400, dtype="float32")
        for site in ("resid_post", "mlp_out", "head_out", "mlp_act")
    ] + [im.Recipe(32, k=4, layer=1, site="ln_mlp", site_out="mlp_out", tokens=4_000, batch=400, dtype="float32")]
    mine, theirs = two_ranks.train_saes(texts, recipes), shared_pool.train_saes(texts, recipes)
    for one, other in zip(mine, theirs, strict=True):
        assert one.history["fvu"].iloc[-1] == pytest.approx(other.history["fvu"].iloc[-1], abs=0.02)
        here, there = (pool.evaluate_sae(other, texts[:10]).summary() for pool in (two_ranks, shared_pool))
        for name in ("fvu", "l0", "loss_spliced", "loss_zero", "kl"):
            assert here[name] == pytest.approx(there[name], rel=1e-3, abs=1e-4), (name, other)
    tables = [pool.features(theirs[0], texts[:10]) for pool in (two_ranks, shared_pool)]
    assert [token for token, _ in tables[0][3].promotes] == [token for token, _ in tables[1][3].promotes]
    assert np.allclose(tables[0].tensors["effect_values"], tables[1].tensors["effect_values"], atol=1e-4)


@pytest.mark.parametrize("rank", [0, 1])
def test_dictionaries_on_two_ranks_outlive_a_rank(rank, own, two_ranks, monkeypatch):
    """Killed after the second slice, when there are checkpoints."""
    texts, recipes = corpus_of(), [recipe(), recipe(seed=1), recipe(architecture="gated", sparsity=1.0)]
    whole = two_ranks.train_saes(texts, recipes, slice_tokens=2000)
    noted, killed = training.Training._note, []

    def kill_once(self, part):
        noted(self, part)
        if part.meta.slice == 2 and not killed:
            killed.append(sorted(process.pid for process in _ranks(own)))
            os.kill(killed[0][rank], signal.SIGKILL)

    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(training.Training, "_note", kill_once)
    again = two_ranks.train_saes(texts, recipes, slice_tokens=2000)
    assert killed and all(same(one, other) for one, other in zip(whole, again, strict=True))


def test_a_training_on_two_ranks_lets_others_run_and_can_be_cancelled(two_ranks):
    ended = []

    def train():
        try:
            two_ranks.train_saes(corpus_of(300), [recipe(latents=8192, tokens=10**6)] * 2, slice_tokens=100_000)
        except im.Cancelled as error:
            ended.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    wait_for(lambda: any(job.method == "train" and job.state == "running" for job in two_ranks.jobs()))
    (job,) = [job for job in two_ranks.jobs() if job.method == "train"]
    for number in range(3):
        two_ranks.lens([0, 1, 2, number])
    assert [one.state for one in two_ranks.jobs() if one.job == job.job] == ["running"]
    two_ranks.job(job.job).cancel()
    thread.join(120)
    assert len(ended) == 1 and len(two_ranks.lens(IDS).token_ids) == len(IDS)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_brings_the_group_back_and_the_job_is_answered(rank, own, two_ranks):
    options = {"max_new_tokens": 100, "temperature": 1.0, "seed": 5}
    job = two_ranks.generate([IDS] * 4, **options, wait=False)
    until_begun(job)
    before = {p.pid for p in _ranks(own)}
    os.kill(sorted(before)[rank], signal.SIGKILL)
    made = job.result(120)
    assert job.progress.attempt == 2 and not before & {p.pid for p in _ranks(own)}
    again = two_ranks.generate([IDS] * 4, **options)
    assert all(np.array_equal(a.completion_ids, b.completion_ids) for a, b in zip(made, again, strict=True))


ROWS = [[0, *range(17 + i, 120 + i)] for i in range(80)]


def _backward(pool, wait=True):
    gradient = Gradient(LogitDifference(5, 9), tuple(Tap(site) for site in ("resid_post", "attn_out", "mlp_out")))
    rows = tuple(Row(Ids(tuple(ids))) for ids in ROWS)
    return pool.run(Program(rows, (Stage(gradients=(gradient,)),)), wait=wait)


def _same_slopes(one, other):
    return all(
        np.array_equal(one.gradient(tap=tap, row=r)["values"], other.gradient(tap=tap, row=r)["values"])
        for tap in range(3)
        for r in (0, 77)
    )


WORK = {
    "prefill": (
        lambda pool, wait=True: pool.capture(ROWS * 2, reduce="moments", wait=wait),
        lambda one, other: all(
            np.array_equal(
                one.array("resid_post", row=r, statistic="mean"), other.array("resid_post", row=r, statistic="mean")
            )
            for r in (0, 77)
        ),
    ),
    "lens": (
        lambda pool, wait=True: pool.lens(ROWS, sites="resid_post,attn_out,mlp_out", track=[5, 6, 7], wait=wait),
        lambda one, other: all(np.array_equal(a.top_ids, b.top_ids) for a, b in zip(one, other, strict=True)),
    ),
    "backward": (_backward, _same_slopes),
}


@pytest.mark.parametrize("work", WORK)
def test_a_rank_that_is_killed_in_any_part_of_the_work_brings_the_group_back(work, own, two_ranks):
    """Killed a while after the job began, where by then this kind of work spends its time; the answer comes once."""
    call, same = WORK[work]
    started = time.monotonic()
    wanted = call(two_ranks)
    took = time.monotonic() - started
    for rank, share in ((1, 0.5), (0, 0.7)):
        job = call(two_ranks, wait=False)
        time.sleep(took * share)
        while job.done:  # the machine was quicker this time
            share /= 2
            job = call(two_ranks, wait=False)
            time.sleep(took * share)
        before = {p.pid for p in _ranks(own)}
        os.kill(sorted(before)[rank], signal.SIGKILL)
        assert same(job.result(120), wanted)
        assert same(call(two_ranks), wanted)
        assert not before & {p.pid for p in _ranks(own)}


def test_heads_that_the_ranks_do_not_divide_are_refused_before_any_process_starts(own, model):
    with pytest.raises(RequestError, match="key-value heads cannot be divided among 4 ranks; tp= may be 1 or 2"):
        im.connect(model=str(model), tp=4)
    assert own() == []
