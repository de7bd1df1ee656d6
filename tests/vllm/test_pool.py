"""vLLM in a pool: real processes, alone and beside a group with the reference engine."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import interp_magics as im
from interp_magics.errors import RemoteError, RequestError
from interp_magics.magics import jobs
from interp_magics.program import Gradient, Ids, Loss, Program, Row, Stage, Tap
from tests import checkpoints
from tests.pool.conftest import named, wait_for
from tests.pool.hosts import Spread, two_hosts
from tests.pool.served import Served

PROMPT = "The quick brown fox jumps over"
BACKWARD = Program((Row(Ids((0, 5, 9, 8))),), (Stage((), (), (Gradient(Loss(), (Tap("resid_post"),)),)),))


@pytest.fixture(scope="module")
def path(root):
    return checkpoints.make("qwen3", root, sizes=checkpoints.WIDE)


@pytest.fixture(scope="module")
def pool(path):
    with im.connect(model=str(path), engine="vllm", threads=1) as made:
        made.card()
        yield made


def test_what_a_notebook_asks_is_answered(pool, reference):
    card = pool.card()
    assert card.engine == "vllm" and card.dtype == "float32" and "vllm" in card.versions and not card.gradients
    expected = reference("qwen3").card
    assert (card.digest, card.parameters) == (expected.digest, expected.parameters)
    run = pool.lens(PROMPT, generate=6, top_k=3, track=" dog", keep=60)
    assert run.top_ids.shape[1:3] == (3, len(run.token_ids)) and len(run.completion_ids) == 6
    again = pool.decode(run, track=" fox")
    assert again.provenance.kept and np.array_equal(again.top_ids[..., :3], run.top_ids)
    vector = pool.steering_vector(["good, nice", "happy"], ["bad, ugly", "sad"], layer=1)
    told = pool.generate([PROMPT] * 2, steer=[vector * 6.0], max_new_tokens=5)
    assert len(told) == 2 and str(told[0]) == str(told[1])


def test_what_it_cannot_do_is_refused_with_the_way_out(pool):
    with pytest.raises(RequestError, match=r"has no gradients"):
        pool.run(BACKWARD)
    with pytest.raises(
        RequestError, match="attention over pages never forms it; ask a group with the transformers engine"
    ):
        pool.run(Program((Row(Ids((0, 5))),), (Stage((Tap("attn_pattern"),)),)))


def test_a_cancelled_job_leaves_and_a_killed_worker_comes_back(path, own, unshared):
    with im.connect(model=str(path), engine="vllm", threads=1) as pool:
        before = pool.generate([PROMPT], max_new_tokens=12)
        job = pool.generate(["Paris is"] * 4, max_new_tokens=400, seed=1, temperature=1.0, wait=False)
        wait_for(lambda: job.progress.done > 3)
        job.cancel()
        with pytest.raises(im.Cancelled):
            job.result()
        job = pool.generate(["Paris is"] * 4, max_new_tokens=200, seed=1, wait=False)
        wait_for(lambda: job.progress.done > 3)
        (worker,) = [process for process in own() if named(process, "worker", "--process")]
        worker.kill()
        assert len(job.result()) == 4 and next(j for j in pool.jobs() if j.job == job.id).attempt == 2
        assert str(pool.generate([PROMPT], max_new_tokens=12)) == str(before)


def test_a_job_goes_to_the_engine_that_can_run_it(path, tmp_path):
    """The pool's own group is the reference's; one with vLLM comes from elsewhere."""
    served = Served(tmp_path / "pool", ["--model", f"tiny={path}", "--port", "0"])
    served.start()
    try:
        with im.connect(served.connection) as pool:
            alone = pool.lens(PROMPT)
            served.worker(path, "--engine", "vllm", "--context", "256")
            wait_for(lambda: {g.engine for g in pool.status().state.groups} == {"transformers", "vllm"})
            assert pool.card().engine == "transformers" and pool.card().gradients
            found = [pool.lens(PROMPT, wait=False) for _ in range(20)]
            for job in found:
                run = job.result()
                assert np.abs(run.entropy - alone.entropy).max() < 1e-4
            engines = {run.result().provenance.versions.get("vllm") for run in found}
            assert len(engines) == 2, "both engines had some"
            backward = [pool.run(BACKWARD, wait=False) for _ in range(4)]
            (group,) = [g.name for g in pool.status().state.groups if g.engine == "transformers"]
            assert all(job.result() for job in backward)
            told = [job for job in pool.jobs() if job.job in {job.id for job in backward}]
            assert [job.worker for job in told] == [group] * 4
            assert list(jobs.run(SimpleNamespace(pool=pool), "")["why"])[:4] == [told[0].why] * 4
            assert re.search("vllm: .* has no gradients", told[0].why) and "not on vllm" in str(pool.status())
    finally:
        served.stop()


def test_a_model_that_it_cannot_load_fails_by_name(tmp_path, unshared):
    path = checkpoints.make("gpt2", tmp_path)
    pool = im.connect(model=str(path), engine="vllm", threads=1)
    with pool, pytest.raises(RemoteError, match=r"vLLM could not load the model 'gpt2'"):
        pool.lens("hello")


@pytest.mark.parametrize("ranks", ["--pp", "--tp"])
def test_two_hosts_answer_as_one_process_does(ranks, path, pool, tmp_path):
    served = Served(tmp_path / "pool", ["--model", f"tiny={path}", "--port", "0", "--groups", "0"])
    served.start()
    try:
        with two_hosts() as hosts, im.connect(str(served.connection)) as wide:
            spread = Spread(served, hosts, path)
            for node in (0, 1):
                spread.start(node, "--engine", "vllm", ranks=(ranks, "2"))
            mine, theirs = (one.lens(PROMPT, generate=6, sites="resid_post,mlp_out") for one in (wide, pool))
            assert np.array_equal(mine.token_ids, theirs.token_ids) and np.array_equal(mine.top_ids, theirs.top_ids)
            assert np.abs(mine.top_logprobs - theirs.top_logprobs).max() < 1e-4
            if ranks == "--pp":
                spread.ranks(1)[0].kill()
            assert len(wide.generate([PROMPT], max_new_tokens=12)) == 1
    finally:
        served.stop()
