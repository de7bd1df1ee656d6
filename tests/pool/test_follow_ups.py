"""Follow-ups of what was kept: answered without a pass where the rows are, and the same by a pass where they are not."""

import time

import msgspec
import numpy as np
import pytest

import interp_magics as im
from interp_magics.errors import RequestError
from tests.pool.conftest import named

IDS = [0, 17, 44, 9, 120, 301]


def test_a_kept_run_is_decoded_again_without_a_pass(pool):
    run = pool.lens(IDS, generate=4, temperature=1.0, seed=5, keep=600, sites="resid_post,mlp_out")
    kept = pool.decode(run, top_k=7, track=[3, 8], layers=[0, 2])
    assert kept.provenance.kept and not run.provenance.kept
    assert np.array_equal(kept.token_ids, run.token_ids)
    assert np.array_equal(kept.completion_ids, run.completion_ids)
    assert np.array_equal(kept.top_ids[..., :5], run.top_ids[:, [0, 2]]) and kept.top_ids.shape[-1] == 7
    fresh = pool.decode(_forgotten(run), top_k=7, track=[3, 8], layers=[0, 2])
    assert not fresh.provenance.kept
    assert np.abs(fresh.tracked_logprobs - kept.tracked_logprobs).max() < 1e-4
    assert np.abs(fresh.kl_final - kept.kl_final).max() < 1e-4
    exact = pool.values(run, layers=[1], positions="generated")
    assert exact.provenance.kept and exact.array("resid_post", 1).shape == (3, 48)
    assert np.allclose(exact.array("resid_post", 1), pool.values(_forgotten(run)).array("resid_post", 1)[6:], atol=1e-4)


def test_a_site_that_was_not_kept_is_read_by_a_pass_over_the_same_tokens(pool):
    run = pool.lens("The quick", generate=5, temperature=1.0, keep=600)
    other = pool.decode(run, sites="attn_out")
    assert not other.provenance.kept and np.array_equal(other.token_ids, run.token_ids)


def test_a_follow_up_of_a_follow_up_and_of_each_row_of_a_list(pool):
    runs = pool.lens(["The quick", "Paris is the capital"], keep=600)
    again = [pool.decode(pool.decode(run), top_k=2) for run in runs]
    assert all(a.provenance.kept for a in again)
    assert ["".join(a.tokens) for a in again] == ["The quick", "Paris is the capital"]


def test_captures_and_completions_can_be_read_again(pool):
    acts = pool.capture([IDS, IDS[:4]], keep=600, reduce="moments")
    kept = pool.values(acts, row=1)
    assert kept.provenance.kept and kept.array("resid_post", 2).shape == (4, 48)
    assert np.allclose(
        kept.array("resid_post", 2).mean(0), acts.array("resid_post", 2, row=1, statistic="mean"), atol=1e-5
    )
    made = pool.generate([IDS, IDS[:3]], 5, temperature=1.0, seed=2)[1]
    seen = pool.decode(made)
    assert np.array_equal(seen.completion_ids, made.completion_ids) and len(seen.token_ids) == 3 + 4
    with pytest.raises(RequestError, match="can be read again"):
        pool.decode(pool.tokenize("no"))


def test_steered_rows_are_read_again_under_their_edits(pool):
    push = im.SteeringVector({1: np.full(48, 3.0)}, name="push")
    runs = pool.lens([IDS, IDS], steer=(push * 4.0).edit(rows=(1,)), keep=600)
    for run in runs:
        kept, fresh = pool.decode(run), pool.decode(_forgotten(run))
        assert kept.provenance.kept and not fresh.provenance.kept
        assert np.array_equal(kept.top_ids, run.top_ids) and np.array_equal(fresh.top_ids, run.top_ids)
    assert not np.array_equal(runs[0].top_ids, runs[1].top_ids)


def test_too_much_to_keep_and_a_wrong_time_are_refused_before_anything_runs(pool):
    with pytest.raises(RequestError, match="seconds"):
        pool.lens(IDS, keep=-1)
    with pytest.raises(RequestError, match="would be kept"):
        pool.capture([list(range(100))] * 2500, sites="attn_pattern,mlp_act,resid_post,attn_out", keep=5)


def test_layers_and_times_of_follow_ups_are_the_earlier_ones_or_those_given(pool):
    acts = pool.capture([IDS], layers=[1], keep=600)
    assert pool.decode(acts).layers == (1,) and pool.decode(acts).provenance.kept
    assert pool.values(acts).provenance.kept and pool.decode(acts, layers=0).layers == (0,)
    run = pool.lens(IDS, keep=3)
    longer = pool.decode(run, keep=3600)
    assert longer.provenance.kept and longer.handle.expires > run.handle.expires + 3000
    assert pool.decode(longer).provenance.kept


def test_a_result_of_another_checkpoint_is_not_read_again_silently(pool):
    run = pool.lens(IDS)
    other = msgspec.structs.replace(run.provenance, digest="0" * 64)
    foreign = type(run)(**{**vars(run), "meta": msgspec.structs.replace(run.meta, provenance=other)})
    with pytest.raises(RequestError, match="another checkpoint"):
        pool.decode(foreign)


def test_rows_expire(pool):
    run = pool.lens(IDS, keep=1)
    time.sleep(1.2)
    assert not pool.decode(run).provenance.kept


def test_another_worker_process_answers_by_a_pass(own_pool, own):
    run = own_pool.lens(IDS, keep=600)
    next(p for p in own() if named(p, "--process")).kill()
    again = own_pool.decode(run)
    assert not again.provenance.kept and np.array_equal(again.top_ids, run.top_ids)


def _forgotten(run):
    return type(run)(**{**vars(run), "meta": msgspec.structs.replace(run.meta, handle=None)})
