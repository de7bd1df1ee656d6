"""A large request over two groups: as one job to its user, the same rows as from one group, whoever dies meanwhile."""

import os
import signal
import time

import numpy as np
import pytest

import interp_magics as im
from interp_magics.api import Pool
from interp_magics.client import embedded
from interp_magics.client.connection import Connection
from interp_magics.errors import Cancelled, RequestError
from interp_magics.launch.config import ModelSpec
from interp_magics.wire.standing import Limits
from tests.pool.conftest import named, until_begun, wait_for

TEXTS = [[0, 17 + i, 44, 9, 120 + i, 301][: 2 + i % 5] for i in range(40)]


def _two_groups(model):
    child = embedded.start([ModelSpec("qwen3", str(model))], 1, 2, Limits(slice_seconds=1e-3, result_ttl=600))
    connection = Connection(child.address)
    connection.connect()
    with Pool(connection, child.stop, "qwen3") as pool:
        wait_for(lambda: pool.status().state.models[0].workers == 2)
        yield pool


@pytest.fixture(scope="module")
def two_groups(model):
    yield from _two_groups(model)


@pytest.fixture
def two_mortal_groups(own, model):
    yield from _two_groups(model)


def test_the_rows_of_all_groups_are_those_of_one(two_groups, shared_pool):
    push = im.SteeringVector({1: np.full(48, 0.5)}, name="push")
    edits = [push.edit(2.0)[0] if i else push.edit(1.0)[0] for i in range(2)]
    options = {"generate": 5, "temperature": 0.8, "seed": 4, "steer": edits}
    job = two_groups.lens(TEXTS, **options, wait=False)
    mine, theirs = job.result(120), shared_pool.lens(TEXTS, **options)
    assert job.progress.state == "done"
    assert [run.meta.row for run in mine] == list(range(len(TEXTS)))
    for one, other in zip(mine, theirs, strict=True):
        assert np.array_equal(one.completion_ids, other.completion_ids)
        assert np.abs(one.top_logprobs - other.top_logprobs).max() < 1e-4
    again = two_groups.decode(mine[33], top_k=3)
    assert np.array_equal(again.top_ids, mine[33].top_ids[..., :3])

    captured, whole = two_groups.capture(TEXTS, **options), shared_pool.capture(TEXTS, **options)
    assert captured.meta.rows == whole.meta.rows and captured.meta.strings == whole.meta.strings
    assert captured.provenance.request == whole.provenance.request
    for row in range(len(TEXTS)):
        assert np.abs(captured.array("resid_post", row=row) - whole.array("resid_post", row=row)).max() < 1e-4
    values = two_groups.values(captured, row=21)
    assert np.abs(values.array("resid_post") - captured.array("resid_post", row=21)).max() < 1e-4
    made = two_groups.generate(TEXTS, 5, temperature=0.8, seed=4, steer=edits)
    assert [one.text for one in made] == [run.completion for run in mine]


def test_it_is_one_job_to_its_user(two_groups):
    before = len(two_groups.jobs())
    job = two_groups.generate(TEXTS * 4, 100, wait=False)
    seen = set()
    while not job.done:
        seen.add(str(job.progress).rsplit(" ", 1)[-1])
        workers = {info.worker for info in two_groups.jobs() if info.job == job.id}
        if any(", " in name for name in workers):
            seen.add("both")
        time.sleep(0.01)
    assert {"both", "texts"} <= seen
    assert len(two_groups.jobs()) == before + 1
    fetched = two_groups.job(job.id).result(120)
    assert [one.text for one in fetched] == [one.text for one in job.result()]


def test_a_part_that_is_wrong_fails_the_job_and_leaves_the_groups_free(two_groups):
    with pytest.raises(RequestError, match="600 tokens"):
        two_groups.lens([*TEXTS[:30], [0] * 600, *TEXTS[30:]])
    assert len(two_groups.lens(TEXTS[:2])) == 2


def test_cancelling_it_ends_all_its_parts(two_groups):
    job = two_groups.generate(TEXTS * 10, 110, wait=False)
    until_begun(job)
    assert job.cancel(120)
    with pytest.raises(Cancelled):
        job.result()
    wait_for(lambda: not any(group.running for group in two_groups.status().state.groups))
    assert len(two_groups.lens([0, 1, 2]).token_ids) == 3


def test_a_group_that_dies_loses_only_its_own_slices(own, two_mortal_groups):
    two_groups = two_mortal_groups
    options = {"max_new_tokens": 80, "temperature": 1.0, "seed": 5}
    job = two_groups.generate(TEXTS * 4, **options, wait=False)
    until_begun(job)
    processes = [p for p in own() if named(p, "--process")]
    assert len(processes) == 2
    os.kill(processes[0].pid, signal.SIGKILL)
    made = job.result(120)
    again = two_groups.generate(TEXTS * 4, **options)
    assert [one.text for one in made] == [one.text for one in again]
