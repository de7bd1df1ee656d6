"""Processes are killed; jobs end once, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

import interp_magics as im
from tests.pool.conftest import descendants, named, wait_for

IDS = [0, 17, 44, 9]


def part(own, word):
    return next(p for p in own() if named(p, word))


def started(job):
    wait_for(lambda: job.progress.state == "running" and job.progress.done > 0)


def test_a_job_whose_worker_is_killed_completes_on_a_new_one_its_parts_restarted(own, own_pool):
    options = {"max_new_tokens": 110, "temperature": 1.0, "seed": 5}
    job = own_pool.generate([IDS] * 8, **options, wait=False)
    started(job)
    before = part(own, "--process")
    os.kill(before.pid, signal.SIGKILL)
    made = job.result(120)
    assert job.progress.attempt == 2
    assert part(own, "--process").pid != before.pid
    again = own_pool.generate([IDS] * 8, **options)
    assert all(np.array_equal(a.completion_ids, b.completion_ids) for a, b in zip(made, again, strict=True))


def test_a_job_that_was_waiting_for_a_killed_worker_runs_on_the_next(own, own_pool):
    os.kill(part(own, "--process").pid, signal.SIGKILL)
    assert len(own_pool.lens(IDS, timeout=120).token_ids) == len(IDS)


def test_a_killed_nanny_takes_its_worker_along(own, own_pool):
    nanny = part(own, "--config-from-stdin")
    worker = part(own, "--process")
    os.kill(nanny.pid, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(worker.pid) or worker.status() == psutil.STATUS_ZOMBIE)


def test_a_killed_broker_is_told_to_whoever_waits(own, own_pool):
    job = own_pool.generate([IDS] * 8, 110, temperature=1.0, wait=False)
    broker = part(own, "serve")
    below = descendants(broker)
    os.kill(broker.pid, signal.SIGKILL)
    with pytest.raises(im.PoolUnavailable, match="has ended"):
        job.result(120)
    wait_for(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in below))


def test_nothing_is_left_when_the_kernel_is_killed(model):
    code = f"""
        import interp_magics as im
        pool = im.connect(model={str(model)!r}, threads=1)
        pool.card()
        job = pool.generate([[0, 1, 2]] * 8, 110, temperature=1.0, wait=False)
        print("up", flush=True)
        job.result()
    """
    kernel = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    assert kernel.stdout.readline() == b"up\n"
    below = descendants(psutil.Process(kernel.pid))
    directories = {word for p in below for word in _open_pool_directories(p)}
    assert len(below) == 3 and directories
    kernel.kill()
    kernel.wait()
    kernel.stdout.close()
    wait_for(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in below))
    wait_for(lambda: not any(d.exists() for d in directories))


def _open_pool_directories(process):
    log = Path(f"/proc/{process.pid}/fd/2").readlink()
    return {log.parent} if "interp-pool-" in str(log) else set()


def test_nothing_is_left_when_a_pool_is_closed(own, model):
    pool = im.connect(model=str(model), threads=1)
    pool.card()
    mine = own()
    pool.close()
    wait_for(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in mine))
    with pytest.raises(im.PoolUnavailable):
        pool.lens(IDS)


@pytest.fixture
def interruptible():
    """A background shell starts its processes with SIGINT ignored; here it interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_call_cancels_its_job_and_is_raised_again(own_pool, capsys, interruptible):
    def interrupt():
        wait_for(lambda: any(job.state == "running" for job in own_pool.jobs()))
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        own_pool.lens([[0, i] for i in range(120)], generate=120, temperature=1.0, sites="resid_post,attn_out,mlp_out")
    interrupting.join()
    said = capsys.readouterr().err
    assert "cancelled" in said and said.startswith("job ")
    (info,) = [j for j in own_pool.jobs() if j.job in said]
    assert info.state == "cancelled"
