"""Jobs of several users while everything that can end is ended: `python -m tests.chaos.chaos --jobs 3000 --seed 1`.

Under a seed, faults are drawn and let loose on real processes; every job must end exactly once, with the result that it has
without faults or with an error that says what happened.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import interp_magics as im
from tests import checkpoints
from tests.chaos.proxy import Proxy
from tests.pool.conftest import descendants, wait_for
from tests.pool.served import Served, free_ports

USERS = ("ada", "bob", "eve")
#: Errors that a job may end with, beside its result: each says what happened.
CLEAR = {"cancelled", "storage", "poison", "busy", "unavailable", "draining"}
_PATIENCE = 240.0


_KERNEL = """
import json, sys, time
import interp_magics as im
pool = im.connect(sys.argv[1])
for ids in json.loads(sys.argv[2]):
    pool.capture([ids] * 60, sites="resid_post,attn_out,mlp_out,mlp_act", model="tiny", wait=False)
time.sleep(0.5)
print("asked", flush=True)
time.sleep(600)
"""


@dataclass
class Report:
    """What was let loose, how jobs ended, what was left behind."""

    seed: int
    seconds: float = 0.0
    jobs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """A job as it is asked for: its kind, tokens, seed."""

    kind: str
    ids: tuple[int, ...]
    seed: int

    def submit(self, pool: im.Pool, wait: bool) -> Any:
        ids = list(self.ids)
        if self.kind == "lens":
            return pool.lens(ids, wait=wait)
        if self.kind == "capture":
            return pool.capture([ids] * 60, sites="resid_post,attn_out,mlp_out,mlp_act", wait=wait)
        return pool.generate([ids] * 8, 110, temperature=1.0, seed=self.seed, wait=wait)


def digest(kind: str, result: Any) -> str:
    """What is compared of a result: token ids, and values to four digits."""
    if kind == "lens":
        values = [np.asarray(result.top_ids)]
    elif kind == "capture":
        values = [np.round(np.asarray(result.array("resid_post", row=row)), 3) + 0.0 for row in range(len(result.rows))]
    else:
        values = [np.asarray(each.completion_ids) for each in result]
    return hashlib.sha256(b"".join(np.ascontiguousarray(value).tobytes() for value in values)).hexdigest()[:16]


class Chaos:
    """A pool behind a relay, its users and its faults."""

    def __init__(self, directory: Path, seed: int, jobs: int, log: Callable[[str], None] = lambda text: None) -> None:
        self.report, self._jobs, self._log = Report(seed), jobs, log
        self._draw, self._directory = random.Random(seed), directory
        self._model = checkpoints.make("qwen3", directory)
        self._port = free_ports()
        config = directory / "pool.toml"
        config.write_text(
            f"port = {self._port}\n[limits]\ninline_bytes = 100000\ncancel_seconds = 3.0\n"
            '[[models]]\nname = "tiny"\ngroups = 0\n'
        )
        self._served = Served(directory / "pool", ["--config", str(config)])
        self._lock, self._over = threading.Lock(), threading.Event()
        self._expected: dict[Asked, str] = {}
        self._addresses: dict[str, str] = {}
        self._clients: list[subprocess.Popen[str]] = []

    def run(self) -> Report:
        self._served.start()
        self._proxy = Proxy(self._port)
        began = time.monotonic()
        try:
            for _ in range(2):
                self._served.worker(self._model)
            addresses = {user: self._through(self._served.token(user)) for user in USERS}
            self._addresses = addresses
            self._learn(addresses["ada"])
            users = [threading.Thread(target=self._user, args=(user, addresses[user])) for user in USERS]
            faults = threading.Thread(target=self._faults)
            for thread in (*users, faults):
                thread.start()
            for thread in users:
                thread.join()
            self._over.set()
            faults.join()
            self._look_behind(addresses)
        finally:
            self._over.set()
            self._end_clients()
            self._proxy.close()
            self._served.stop()
        self._look_for_orphans()
        self.report.seconds = time.monotonic() - began
        return self.report

    def _through(self, address: str) -> str:
        return address.replace(f":{self._port}#", f":{self._proxy.port}#")

    def _learn(self, address: str) -> None:
        """What each job gives when nothing goes wrong; no two users ask for the same."""
        draw = random.Random(self.report.seed)
        with im.connect(address) as pool:
            for number, user in enumerate(USERS):
                for kind in ("lens", "capture", "generate"):
                    for variant in range(4):
                        ids = (number, variant, *(draw.randrange(60) for _ in range(6)))
                        asked = Asked(kind, ids, 100 * number + variant)
                        self._expected[asked] = digest(kind, asked.submit(pool, True))
                        self._mine(user).append(asked)

    def _mine(self, user: str) -> list[Asked]:
        return self.__dict__.setdefault("_asked", {}).setdefault(user, [])

    def _user(self, user: str, address: str) -> None:
        try:
            self._work(user, address)
        except Exception as error:
            self._wrong(f"{user} gave up: {type(error).__name__}: {error}")

    def _work(self, user: str, address: str) -> None:
        """Ask, wait, cancel, leave and come back."""
        draw = random.Random(f"{self.report.seed}{user}")
        left = self._jobs // len(USERS)
        while left > 0:
            with self._connected(address) as pool:
                many = min(left, draw.randrange(3, 12))
                left -= many
                jobs = [
                    (asked, asked.submit(pool, False))
                    for asked in draw.choices(self._mine(user), (4, 4, 4, 4, 1, 1, 1, 1, 2, 2, 2, 2), k=many)
                ]
                cancelled = {job.id for _, job in jobs if draw.random() < 0.1}
                for _, job in jobs:
                    if job.id in cancelled:
                        job.cancel()
                if draw.random() < 0.25:
                    # The kernel is gone; another one finds the jobs by their ids.
                    time.sleep(draw.uniform(0, 0.5))
                    pool.close()
                    jobs = self._found_again(address, jobs)
                for asked, job in jobs:
                    self._end(user, asked, job, job.id in cancelled)

    def _connected(self, address: str) -> im.Pool:
        def connect() -> im.Pool:
            pool = im.connect(address)
            pool.use("tiny")
            pool.card()
            return pool

        return self._answered(connect)

    def _answered(self, ask: Callable[[], Any]) -> Any:
        """What comes of asking a pool that may be away for a while."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return ask()
            except im.PoolUnavailable:
                assert time.monotonic() < until

    def _found_again(self, address: str, jobs: list[tuple[Asked, Any]]) -> list[tuple[Asked, Any]]:
        pool, found = self._connected(address), []
        for asked, job in jobs:
            try:
                found.append((asked, self._answered(lambda job=job: pool.job(job.id))))
            except im.RequestError:
                # It was lost with the connection before the pool had it.
                self._count("never arrived")
                if job.progress.attempt:
                    self._wrong(f"{asked} was accepted, and then forgotten")
        return found

    def _end(self, user: str, asked: Asked, job: Any, cancelled: bool) -> None:
        try:
            made = digest(asked.kind, job.result(_PATIENCE))
            outcome = "result"
            if made != self._expected[asked]:
                self._wrong(f"{user}'s {asked} gave {made}")
        except im.Cancelled:
            outcome = "cancelled"
            if not cancelled:
                self._wrong(f"{user}'s {asked} was cancelled by nobody")
        except im.PoolUnavailable:
            outcome = "unavailable"
        except im.TimedOut as error:
            outcome = "never ended"
            self._wrong(f"{user}'s {asked}: {error}")
        except im.RemoteError as error:
            outcome = error.code
            if outcome == "storage":
                time.sleep(1.0)
            if error.code not in CLEAR:
                self._wrong(f"{user}'s {asked}: {error}")
        except im.RequestError as error:
            outcome = "request"
            self._wrong(f"{user}'s {asked}: {error}")
        self._count(outcome)

    def _count(self, outcome: str) -> None:
        with self._lock:
            self.report.jobs += 1
            self.report.outcomes[outcome] += 1

    def _wrong(self, text: str) -> None:
        self._log(text)
        with self._lock:
            self.report.wrong.append(text)

    def _faults(self) -> None:
        choices: dict[Callable[[], None], int] = {
            self._kill_process: 4,
            self._kill_nanny: 2,
            self._kill_broker: 2,
            self._stop_process: 2,
            self._stop_broker: 2,
            self._drop_connections: 4,
            self._fill_disk: 2,
            self._kill_client: 2,
            self._silence_client: 1,
        }
        while not self._over.wait(self._draw.uniform(0.3, 2.0)):
            fault = self._draw.choices(list(choices), list(choices.values()))[0]
            with suppress(psutil.NoSuchProcess, ProcessLookupError, IndexError):
                fault()
                name = fault.__name__.strip("_").replace("_", " ")
                self.report.faults[name] += 1
                self._log(name)

    def _process(self) -> psutil.Process:
        nanny = self._draw.choice([worker for worker in self._served.workers if worker.poll() is None])
        return self._draw.choice(descendants(psutil.Process(nanny.pid)))

    def _kill_process(self) -> None:
        self._process().kill()

    def _kill_nanny(self) -> None:
        nanny = self._draw.choice([worker for worker in self._served.workers if worker.poll() is None])
        nanny.kill()
        nanny.wait()
        self._served.worker(self._model)

    def _kill_broker(self) -> None:
        self._served.kill()
        time.sleep(self._draw.uniform(0, 2))
        self._served.start()

    def _stop_process(self) -> None:
        self._stopped(self._process(), 3)

    def _stop_broker(self) -> None:
        self._stopped(psutil.Process(self._served.process.pid), 2)

    def _stopped(self, process: psutil.Process, most: float) -> None:
        process.suspend()
        time.sleep(self._draw.uniform(0.2, most))
        process.resume()

    def _drop_connections(self) -> None:
        self._proxy.drop()

    def _client(self) -> "subprocess.Popen[str]":
        """Another kernel of a user, which has asked for jobs and does not read what comes."""
        user = self._draw.choice(USERS)
        ids = [list(asked.ids) for asked in self._mine(user)]
        command = [sys.executable, "-c", _KERNEL, self._addresses[user], json.dumps(ids)]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        client.stdout.readline()
        self._clients.append(client)
        return client

    def _kill_client(self) -> None:
        self._client().kill()

    def _silence_client(self) -> None:
        """It stays as it is until all is over."""
        self._client().send_signal(signal.SIGSTOP)

    def _end_clients(self) -> None:
        for client in self._clients:
            client.kill()
            client.wait()
            client.stdout.close()

    def _fill_disk(self) -> None:
        """No file of the broker or of a worker may grow for a while, as on a full disk."""
        pids = [self._served.process.pid, self._process().pid]
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        time.sleep(self._draw.uniform(0.5, 3))
        for pid in pids:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def _look_behind(self, addresses: dict[str, str]) -> None:
        """Nothing waits or runs, and when all is released nothing lies in the spool."""
        for address in addresses.values():
            with self._connected(address) as pool:
                try:
                    wait_for(lambda pool=pool: not self._going(pool), 120)
                except AssertionError:
                    self.report.left += [str(job) for job in self._going(pool)]
                for job in self._answered(pool.jobs):
                    self.report.attempts[job.attempt] += 1
                for _ in range(50):
                    jobs = self._answered(pool.jobs)
                    for job in jobs:
                        pool._connection.release(job.job)
                    if not jobs:
                        break
                    time.sleep(0.1)
                quota = self._answered(pool.status).state.quota
                if quota.results[0]:
                    self.report.left.append(f"{quota.results[0]} bytes of results")
        time.sleep(2)
        spool = self._served.directory / "spool"
        self.report.left += [str(path) for name in ("results", "incoming") for path in (spool / name).iterdir()]

    def _going(self, pool: im.Pool) -> list[Any]:
        return [job for job in self._answered(pool.jobs) if job.state in ("queued", "running")]

    def _look_for_orphans(self) -> None:
        here = str(self._directory)
        for process in psutil.process_iter(["cmdline"]):
            if here in " ".join(process.info["cmdline"] or ()) and process.pid != os.getpid():
                self.report.left.append(f"process {process.pid}: {' '.join(process.info['cmdline'])}")


def run(seed: int, jobs: int, log: Callable[[str], None] = lambda text: None) -> Report:
    """Let chaos loose on so many jobs."""
    with tempfile.TemporaryDirectory(prefix="interp-chaos-") as directory:
        return Chaos(Path(directory), seed, jobs, log).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    report = run(given.seed, given.jobs, lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(vars(report), indent=1))
    sys.exit(bool(report.wrong or report.left))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
