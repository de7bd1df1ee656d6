"""A lens that streams: its parts come while the row goes on, and together they are the result."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from interp_magics.data.lens_run import LensRun
from interp_magics.wire.messages import Event

IDS = [0, 17, 44, 9, 120, 301]
ARRAYS = ("top_ids", "top_logprobs", "entropy", "kl_final", "tracked_logprobs", "tracked_ranks")


@pytest.mark.parametrize("options", [{}, {"positions": "generated"}, {"sites": "resid_post,mlp_out", "keep": 30}])
def test_the_parts_are_the_result(pool, options):
    job = pool.lens(IDS, generate=60, track=[5], stream=True, wait=False, **options)
    grown: list[LensRun] = []

    def look() -> None:
        partial = job.progress.partial
        if partial is not None and (not grown or partial is not grown[-1]):
            grown.append(partial)

    job._listen(look)
    whole = job.result(120)
    assert len(grown) >= 2
    counts = [len(run.positions) for run in grown]
    assert counts == sorted(set(counts))
    for run in grown:
        count = len(run.positions)
        assert run.layers == whole.layers and np.array_equal(run.positions, whole.positions[:count])
        assert np.array_equal(run.token_ids, whole.token_ids[: len(run.token_ids)])
        assert run.completion == whole.completion[: len(run.completion)]
        for name in ARRAYS:
            assert np.array_equal(getattr(run, name), getattr(whole, name)[:, :, :count]), name
    plain = pool.lens(IDS, generate=60, track=[5], **options)
    assert np.abs(plain.top_logprobs - whole.top_logprobs).max() < 1e-4


def test_a_job_that_streams_is_read_part_by_part(pool):
    async def parts():
        job = pool.lens([IDS, IDS[:3]], generate=40, stream=True, wait=False)
        return [part async for part in job], await job

    with ThreadPoolExecutor() as elsewhere:
        told, runs = elsewhere.submit(lambda: asyncio.run(parts())).result()
    assert all(isinstance(part, Event) for part in told)
    assert {part.row for part in told if part.part == "lens"} == {0, 1}
    assert len(runs) == 2


def test_what_does_not_stream_sends_no_parts(pool):
    job = pool.lens(IDS, generate=60, wait=False)
    job.result(120)
    assert job.progress.partial is None
