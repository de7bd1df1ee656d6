"""Messages of a client that a broken link loses: they are said again, and no job comes to a wrong end."""

import numpy as np
import pytest

import interp_magics as im
from interp_magics.wire.frames import Reader
from interp_magics.wire.messages import CancelJob, FromClient, Share, Stat, Submit

IDS = [0, 17, 44, 9]


@pytest.fixture
def losing(pool, monkeypatch):
    """`losing(kind)`: the next message of that kind gets lost on its way."""
    channel, reader, lose = pool._connection._channel, Reader(FromClient), []
    send = channel.send

    def sending(frames, bulk=0):
        message, _ = reader.read([bytes(frame) for frame in frames])
        if type(message) in lose:
            lose.remove(type(message))
        else:
            send(frames, bulk)

    monkeypatch.setattr(channel, "send", sending)
    return lose.append


def test_a_lost_submission_is_submitted_again(pool, losing):
    losing(Submit)
    assert len(pool.lens(IDS, wait=False).result(120).token_ids) == len(IDS)


def test_a_lost_cancellation_is_asked_for_again(pool, losing):
    losing(CancelJob)
    pool.manage("pause")
    try:
        job = pool.generate(IDS, 4, wait=False)
        job.cancel()
        with pytest.raises(im.Cancelled):
            job.result(120)
    finally:
        pool.manage("resume")


def test_a_job_that_never_arrived_is_cancelled_and_not_submitted_again(pool, losing):
    losing(Submit)
    job = pool.generate(IDS, 4, wait=False)
    job.cancel()
    with pytest.raises(im.Cancelled):
        job.result(120)
    pool.lens(IDS)
    assert job.id not in [info.job for info in pool.jobs()]


def test_a_job_that_is_cancelled_before_its_vector_was_put_does_not_run(pool):
    push = im.SteeringVector({1: np.random.default_rng(5).normal(size=48)}, name="push")
    job = pool.generate([IDS] * 8, 110, steer=push.edit(2.0), wait=False)
    job.cancel()
    with pytest.raises(im.Cancelled):
        job.result(120)
    pool.lens(IDS)
    assert [info.state for info in pool.jobs() if info.job == job.id] in ([], ["cancelled"])


def test_a_lost_question_is_asked_again(pool, losing):
    losing(Stat)
    assert pool.models() == ["qwen3"]
    job = pool.lens(IDS, wait=False)
    losing(Share)
    job.share("somebody")
    assert next(info.shared for info in pool.jobs() if info.job == job.id) == ("somebody",)
