"""The pool with real processes: how soon it serves again after a kill, how soon a late worker has work, how soon a cancelled
job has ended, and how long a large capture takes to be an array in a notebook of the same host.

On the demo model, broker and worker on one core each where there are two.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import interp_magics as im
from interp_magics.demo import MODEL_DIR, MODEL_NAME
from interp_magics.methods.tokenize.request import TokenizeRequest

from .checkpoint import save_reference
from .pairs import write as store

QUEUED, CANCELLED = 10_000, 60
PORT = 27_717
INTERP = (sys.executable, "-m", "interp_magics")


class Served:
    """A broker without workers of its own, killed and started at will, and workers that are started apart."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.processes = directory, []
        (directory / "pool.toml").write_text(
            f'directory = "{directory}/pool"\nport = {PORT}\n[limits]\nqueued_jobs = 100000\nresult_bytes = 8000000000\n'
            f'[[models]]\nname = "{MODEL_NAME}"\ngroups = 0\n'
        )
        self.connection = directory / "pool" / "connection"

    def start(self) -> None:
        command = [*INTERP, "serve", "--config", str(self.directory / "pool.toml")]
        self.broker = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.processes.append(self.broker)

    def kill(self) -> None:
        self.broker.send_signal(signal.SIGKILL)
        self.broker.wait()

    def worker(self) -> None:
        command = [*INTERP, "worker", "--pool", str(self.directory / "pool" / "worker")]
        model = ["--model", f"{MODEL_NAME}={MODEL_DIR}", "--threads", "1"]
        self.processes.append(subprocess.Popen([*command, *model]))

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@contextmanager
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as directory:
        made = Served(Path(directory))
        try:
            made.start()
            _until(made.connection.is_file)
            yield made
        finally:
            made.stop()


def _until(condition: Any, seconds: float = 120.0) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.002)
    return time.monotonic() - began


def restart() -> dict[str, float]:
    """Seconds from the start of a broker with jobs in its journal until a client has its state; and with none."""
    found = {}
    for jobs in (0, QUEUED):
        with served() as pool, im.connect(pool.connection) as client:
            for _ in range(jobs):
                client._connection.submit(MODEL_NAME, TokenizeRequest(), "tokenize", list, {})
            _until(lambda jobs=jobs, client=client: client.status().state.queued == jobs)
            times = []
            for _ in range(5):
                pool.kill()
                began = time.monotonic()
                pool.start()
                _until(lambda client=client, jobs=jobs: _queued(client) == jobs)
                times.append(time.monotonic() - began)
            found[f"broker killed with {jobs:,} jobs queued: seconds until it answers"] = float(np.median(times))
    return found


def _queued(client: im.Pool) -> int:
    try:
        return client._connection.state(timeout=0.3).queued
    except im.PoolUnavailable:
        return -1


def late_worker() -> dict[str, float]:
    """Seconds from the moment that a worker serves until the job that waited for it is done."""
    with served() as pool, im.connect(pool.connection) as client:
        job = client.lens("The capital of France is", wait=False)
        pool.worker()
        _until(lambda: client.status().state.models[0].workers == 1)
        began = time.monotonic()
        job.result(60)
        return {"late worker ready until the job that waited is done, s": time.monotonic() - began}


def cancel() -> dict[str, Any]:
    """Seconds from a cancellation to its acknowledgement beside the time of a decoding step: on the demo model, whose step is
    shorter than the way of a message through three processes, and on the reference checkpoint."""
    with tempfile.TemporaryDirectory() as directory:
        save_reference(Path(directory))
        demo, reference = _cancelled(None, CANCELLED), _cancelled(directory, CANCELLED // 3)
    return {
        f"{what} ({name})": value
        for name, found in (("demo", demo), ("71 M", reference))
        for what, value in found.items()
    }


def _cancelled(model: str | None, count: int) -> dict[str, Any]:
    with im.connect(model=model, threads=1) as pool:
        pool.card()
        step = _step(pool)
        waits = []
        for number in range(count):
            job = pool.generate([[1, 5, 7, 9, 11]] * 8, 200, temperature=1.0, seed=number, wait=False)
            _until(lambda job=job: job.progress.done > 2)
            began = time.monotonic()
            job.cancel(30)
            waits.append(time.monotonic() - began)
    return {
        "one decoding step of 8 rows, ms": round(1000 * step, 3),
        "cancel to acknowledgement, p50 and p99, ms": [
            round(1000 * float(value), 2) for value in np.percentile(waits, [50, 99])
        ],
    }


def _step(pool: im.Pool) -> float:
    times = []
    for tokens in (20, 120, 20, 120):
        began = time.monotonic()
        pool.generate([[1, 5, 7, 9, 11]] * 8, tokens, temperature=1.0, seed=1)
        times.append(time.monotonic() - began)
    return (min(times[1], times[3]) - min(times[0], times[2])) / 100


def large_result() -> dict[str, Any]:
    """A capture of about 1 GiB that lies in the spool until it is an array here, beside a plain copy of its file."""
    with served() as pool, im.connect(pool.connection) as client:
        pool.worker()
        client.card()
        text, sites = list(range(1, 101)), "resid_post,resid_mid,attn_out,mlp_out,ln_attn,ln_mlp"
        one = client.capture([text], sites=sites, dtype="float32")
        job = client.capture([text] * max(1, (1 << 30) // one.nbytes), sites=sites, dtype="float32", wait=False)
        job.result(600)
        files = sorted((pool.directory / "pool" / "spool" / "results").iterdir())
        total = sum(file.stat().st_size for file in files)
        ratios, copies = [], []
        for _ in range(5):
            copied = _copy(files)
            began = time.monotonic()
            acts = client.job(job.id).result(600)
            touched = sum(_touch(acts.array(site, row=row)) for site in acts.sites for row in range(len(acts.rows)))
            ratios.append((time.monotonic() - began) / copied)
            copies.append(copied)
            assert touched
        return {
            "bytes of the capture": total,
            "plain copy of its file, s": float(np.median(copies)),
            "until it is an array here, over that": float(np.median(ratios)),
        }


def _copy(files: list[Path]) -> float:
    with tempfile.TemporaryDirectory() as there:
        began = time.monotonic()
        for file in files:
            shutil.copy(file, there)
        return time.monotonic() - began


def _touch(values: np.ndarray) -> int:
    """Reads something of every page."""
    return int(np.count_nonzero(values.reshape(-1)[::1024]))


def main() -> None:
    os.environ.pop("INTERP_POOL_URL", None)
    store("pool_real", {**restart(), **late_worker(), **cancel(), **large_result()})


if __name__ == "__main__":
    main()
