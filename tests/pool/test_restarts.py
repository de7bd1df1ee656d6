"""The broker is killed and started again, workers come and go: what was accepted is done once, and found again."""

import os
import signal

import numpy as np
import psutil
import pytest

import interp_magics as im
from tests.pool.conftest import descendants, until_begun, wait_for
from tests.pool.served import free_ports, serving

IDS = [0, 17, 44, 9]
LONG = {"max_new_tokens": 110, "temperature": 1.0, "seed": 5}


@pytest.fixture
def served(model, tmp_path):
    """A broker on fixed ports that starts no workers, and a worker that was started apart."""
    config = tmp_path / "pool.toml"
    config.write_text(f'port = {free_ports()}\n[[models]]\nname = "tiny"\ngroups = 0\n')
    with serving(tmp_path / "pool", "--config", str(config)) as made:
        made.worker(model)
        yield made


def states(pool):
    return {job.job: job.state for job in pool.jobs()}


def test_a_job_runs_on_while_its_broker_is_killed_and_its_client_hears_the_end(served):
    with im.connect(served.connection) as pool:
        expected = pool.generate([IDS] * 8, **LONG, timeout=120)
        job = pool.generate([IDS] * 8, **LONG, wait=False)
        until_begun(job)
        served.kill()
        served.start()
        made = job.result(120)
        (info,) = [each for each in pool.jobs() if each.job == job.id]
        assert info.attempt == 1
    assert all(np.array_equal(a.completion_ids, b.completion_ids) for a, b in zip(made, expected, strict=True))


def test_what_waits_and_what_is_done_outlive_broker_and_client(served):
    with im.connect(served.connection) as pool:
        done = pool.capture([IDS] * 40, sites="resid_post,attn_out,mlp_out", wait=False)
        small = pool.lens(IDS, wait=False)
        held, read = done.result(120), small.result(120)
        vector = pool.steering_vector([[0, 1], [5, 6]], [[2, 3], [7, 8]], layer=1) * 4.0
        steered = pool.generate(IDS, 5, steer=[vector])
        pool.manage("pause")

        waiting = pool.generate(IDS, 5, steer=[vector], wait=False, priority="batch")
        wait_for(lambda: states(pool).get(waiting.id) == "queued")
    served.kill()
    served.start()
    with im.connect(served.connection) as again:
        assert states(again)[done.id] == "done"
        assert np.array_equal(again.job(done.id).result(120).array("resid_post", 0), held.array("resid_post", 0))
        assert np.array_equal(again.job(small.id).result(120).top_ids, read.top_ids)
        assert np.array_equal(again.job(waiting.id).result(120).completion_ids, steered.completion_ids)


def test_a_worker_that_dies_while_the_broker_is_away_costs_an_attempt_and_no_strike(served, model):
    with im.connect(served.connection) as pool:
        job = pool.generate([IDS] * 8, **LONG, wait=False)
        until_begun(job)
        served.kill()
        (nanny,) = served.workers
        below = descendants(psutil.Process(nanny.pid))
        nanny.kill()
        nanny.wait()
        wait_for(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in below))
        served.start()
        served.worker(model)
        assert len(job.result(120)) == 8
        (info,) = [each for each in pool.jobs() if each.job == job.id]
        assert info.attempt == 2


def test_a_worker_that_comes_late_takes_what_waits(served, model):
    with im.connect(served.connection) as pool:
        pool.lens(IDS, timeout=120)
        first, second = served.workers[0], served.worker(model)
        wait_for(lambda: sum(group.state == "up" for group in pool.status().state.groups) == 2)
        names = {group.name for group in pool.status().state.groups}
        assert len(names) == 2
        first.send_signal(signal.SIGTERM)
        assert first.wait(120) == 0
        assert len(pool.lens(IDS, timeout=120).token_ids) == len(IDS)
        assert second.poll() is None


def test_a_worker_is_started_anew_without_losing_a_job(served):
    with im.connect(served.connection) as pool:
        pool.card()
        (group,) = pool.status().state.groups
        old = {p.pid for p in descendants(psutil.Process(served.workers[0].pid))}
        jobs = [pool.generate([IDS] * 4, **LONG, wait=False) for _ in range(3)]
        until_begun(jobs[0])
        pool.manage("restart", group.name)
        jobs.append(pool.lens(IDS, wait=False))
        for job in jobs:
            job.result(120)
        assert all(info.attempt == 1 for info in pool.jobs())
        assert not old & {p.pid for p in descendants(psutil.Process(served.workers[0].pid))}


def test_a_group_that_is_kicked_runs_its_jobs_again_and_blames_none(served):
    with im.connect(served.connection) as pool:
        job = pool.generate([IDS] * 8, **LONG, wait=False)
        until_begun(job)
        pool.manage("kick", pool.status().state.groups[0].name)
        assert len(job.result(120)) == 8 and job.progress.attempt == 2


def test_a_process_that_does_not_leave_a_cancelled_job_is_killed(served, model, tmp_path):
    with im.connect(served.connection) as pool:
        beside = pool.generate([IDS] * 2, **LONG, wait=False)
        job = pool.generate([IDS] * 8, **LONG, wait=False)
        until_begun(job)
        (process,) = descendants(psutil.Process(served.workers[0].pid))
        process.suspend()
        job.cancel()
        with pytest.raises(im.Cancelled):
            job.result(120)
        assert len(beside.result(120)) == 2
        assert not psutil.pid_exists(process.pid) or process.status() == psutil.STATUS_ZOMBIE


def test_a_broker_told_to_end_lets_what_runs_end_and_keeps_what_waits(served):
    with im.connect(served.connection) as pool:
        job = pool.generate([IDS] * 8, **LONG, wait=False)
        until_begun(job)
        waiting = [pool.generate([IDS] * 8, **LONG, wait=False) for _ in range(20)]
        wait_for(lambda: len(pool.jobs()) == 21)
        os.kill(served.process.pid, signal.SIGTERM)
        assert len(job.result(120)) == 8
        assert served.process.wait(120) == 0
        served.process.stdout.close()
        assert not served.connection.exists()
        served.start()
        for each in waiting:
            assert len(each.result(120)) == 8


def test_a_broker_that_was_drained_before_it_is_told_to_end_lets_what_runs_end_too(served):
    with im.connect(served.connection) as pool:
        job = pool.generate([IDS] * 8, **LONG, wait=False)
        until_begun(job)
        pool.manage("drain")
        os.kill(served.process.pid, signal.SIGTERM)
        assert len(job.result(120)) == 8
        assert served.process.wait(120) == 0


def test_two_brokers_do_not_share_a_directory(served, model):
    second = served.interp(
        "serve", "--directory", str(served.directory), "--model", f"tiny={model}", "--port", str(free_ports())
    )
    assert second.returncode == 2 and "another broker has it" in second.stderr and second.stderr.count("\n") == 1
