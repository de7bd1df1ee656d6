"""The broker: its CPU time for an empty job with a hundred users connected, and what a light user waits beside a heavy one,
in turns as we take them and in the order of arrival. The workers are simulated, so no model's time is in it."""

import heapq
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil
import zmq

from interp_magics.broker.admission import CLIENT, WORKER, Key
from interp_magics.broker.book import Book
from interp_magics.broker.schedule import Schedule, Waiting
from interp_magics.broker.server import Keys, Server, Settings
from interp_magics.methods.tokenize.request import TokenizeRequest
from interp_magics.program.cards import ModelCard
from interp_magics.wire.frames import Reader, write, write_bytes
from interp_magics.wire.keys import KeyPair, use_client_keys
from interp_magics.wire.messages import Assign, Attempt, Beat, Done, Ready, Started, Submit, ToWorker

from .pairs import write as store

USERS, JOBS = 100, 5000
HEAVY, SLOTS, SECONDS, EVERY, LIGHT = 10_000, 4, 0.5, 2.0, 0.1

CARD = ModelCard(
    "m", "f", "A", "d", "", "t", "float32", 1, 1, 1, 1, 1, 1, 2, 8, 1, {}, {}, "transformers", (), (), (), {}, False
)


class Fifo(Schedule):
    """The order of arrival, for comparison."""

    def _pop(self, model: str, now: float) -> Waiting | None:
        heads = [job for queue in self._queues[model].values() if (job := queue.head(self._jobs, now))]
        first = min(heads, key=lambda job: job.number, default=None)
        if first is None:
            return None
        self._queues[model][first.user].pop(first)
        return self._jobs.pop(first.key)


def waits(schedule: Schedule, heavy: int, jobs: int = 400) -> np.ndarray:
    """Seconds from submission to result of each of a light user's jobs, on one simulated group."""
    book, clock, draw = Book(), 0.0, np.random.default_rng(0)
    book._schedule = schedule
    book.ready("g", b"", "e", CARD, SLOTS, 0.0)
    for number in range(heavy):
        book.submit(("heavy", str(number)), "m", (TokenizeRequest(),), "interactive", (), 0.0, [SECONDS])
    coming = [EVERY * (number + draw.random()) for number in range(jobs)]
    events = [(when, "comes", number) for number, when in enumerate(coming)]
    heapq.heapify(events)
    ended = {}
    while len(ended) < jobs:
        for job in book.hand_out(clock):
            book.started(job.key, "g", job.attempt, clock)
            took = LIGHT if job.key[0] == "light" else float(draw.exponential(SECONDS))
            heapq.heappush(events, (clock + took, "ends", job.key))
        clock, what, which = heapq.heappop(events)
        if what == "comes":
            book.submit(("light", str(which)), "m", (TokenizeRequest(),), "interactive", (), clock, [LIGHT])
            continue
        job = book.jobs[which]
        book.end(which, "g", job.attempt, "done", clock)
        if which[0] == "light":
            ended[int(which[1])] = clock - coming[int(which[1])]
    return np.array(list(ended.values()))


def shares(hours: float = 4.0) -> float:
    """The largest relative distance of a user's share of the work from that of their weight, over hours of mixed load: four
    heavy users of weights 1, 1, 2 and 4 with jobs of their own sizes, beside light ones who come and go."""
    weights = {"a": 1.0, "b": 1.0, "c": 2.0, "d": 4.0}
    sizes = {"a": 0.2, "b": 3.0, "c": 1.0, "d": 0.5}
    book, clock, draw = Book(lambda user: weights.get(user, 1.0)), 0.0, np.random.default_rng(1)
    book.ready("g", b"", "e", CARD, SLOTS, 0.0)
    events, had, number = [(0.0, "light", "")], dict.fromkeys(weights, 0.0), 0

    def submit(user: str, seconds: float) -> None:
        nonlocal number
        number += 1
        book.submit((user, str(number)), "m", (TokenizeRequest(),), "interactive", (), clock, [seconds])

    for user in weights:
        for _ in range(50):
            submit(user, sizes[user])
    while clock < 3600 * hours:
        for job in book.hand_out(clock):
            book.started(job.key, "g", job.attempt, clock)
            took = float(draw.exponential(sizes.get(job.key[0], LIGHT)))
            heapq.heappush(events, (clock + took, "ends", job.key))
        clock, what, which = heapq.heappop(events)
        if what == "light":
            submit(f"light{draw.integers(20)}", LIGHT)
            heapq.heappush(events, (clock + float(draw.exponential(EVERY)), "light", ""))
            continue
        job = book.jobs[which]
        book.end(which, "g", job.attempt, "done", clock)
        if which[0] in had:
            had[which[0]] += job.spent
            submit(which[0], sizes[which[0]])
        book.forget(which)
    total, all_weights = sum(had.values()), sum(weights.values())
    return max(abs(had[user] / total * all_weights / weights[user] - 1) for user in weights)


def _broker(keys: KeyPair, admitted: dict[bytes, Key], directory: Path, out: Connection) -> None:
    server = Server(Settings(directory, ("m",)), Keys(keys, admitted))
    out.send((server.client_endpoint, server.worker_endpoint))
    server.run(lambda: not out.poll())
    server.close()


def _sockets(
    context: zmq.Context, pairs: list[KeyPair], server: KeyPair, endpoint: str
) -> Iterator["zmq.Socket[bytes]"]:
    for pair in pairs:
        made = context.socket(zmq.DEALER)
        made.linger = 0
        use_client_keys(made, pair, server.public)
        made.connect(endpoint)
        yield made


def milliseconds_per_job() -> float:
    """CPU time of the broker's process for an empty job, from its submission to its result."""
    server, worker, users = KeyPair.make(), KeyPair.make(), [KeyPair.make() for _ in range(USERS)]
    admitted = {pair.public: Key(f"user{number}", CLIENT) for number, pair in enumerate(users)}
    admitted[worker.public] = Key("worker", WORKER)
    here, there = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as directory:
        process = multiprocessing.get_context("fork").Process(
            target=_broker, args=(server, admitted, Path(directory), there)
        )
        process.start()
        client_endpoint, worker_endpoint = here.recv()
        context = zmq.Context()
        (group,) = _sockets(context, [worker], server, worker_endpoint)
        group.send_multipart(write(Beat(group="g", model="m", state="alive")))
        group.send_multipart(write(Ready(group="g", epoch="0123456789", card=CARD, slots=16)))
        clients = list(_sockets(context, users, server, client_endpoint))
        _run(group, clients, USERS)
        before = psutil.Process(process.pid).cpu_times()
        _run(group, clients, JOBS)
        after = psutil.Process(process.pid).cpu_times()
        here.send("stop")
        process.join()
        for socket in (group, *clients):
            socket.close()
        context.term()
    return 1000 * (after.user + after.system - before.user - before.system) / JOBS


def _run(group: "zmq.Socket[bytes]", clients: list["zmq.Socket[bytes]"], jobs: int) -> None:
    """Every client has one job at a time; the group answers at once."""
    reader, poller = Reader(ToWorker), zmq.Poller()
    for socket in (group, *clients):
        poller.register(socket, zmq.POLLIN)
    sent, done, deadline = 0, 0, time.monotonic() + 300

    def submit(client: "zmq.Socket[bytes]") -> None:
        nonlocal sent
        if sent < jobs:
            job = f"{time.monotonic_ns():020x}"
            client.send_multipart(write(Submit(job=job, model="m", request=TokenizeRequest(), priority="interactive")))
            sent += 1

    for client in clients:
        submit(client)
    while done < jobs:
        assert time.monotonic() < deadline
        group.send_multipart(write(Beat(group="g", model="m", state="alive")))
        for socket, _ in poller.poll(1000):
            frames = socket.recv_multipart()
            if socket is group:
                message, _ = reader.read(frames)
                if isinstance(message, Assign):
                    group.send_multipart(write(Started(jobs=(Attempt(message.job, message.attempt),))))
                    group.send_multipart(write_bytes(Done(job=message.job, attempt=message.attempt, size=8), bytes(8)))
            elif b'"done"' in frames[1]:
                done += 1
                submit(socket)


def main() -> None:
    alone, ours, fifo = waits(Schedule(), 0), waits(Schedule(), HEAVY), waits(Fifo(), HEAVY)
    store(
        "pool",
        {
            "broker CPU of an empty job, 100 users connected, journal included, ms (floor 1, aim 0.5)": milliseconds_per_job(),
            "shares over 4 hours of mixed load: largest distance from weights (floor 0.05)": shares(),
            f"light user alone, p50 and p99, s (jobs of {LIGHT} s)": _both(alone),
            f"light user beside {HEAVY:,} jobs of {SECONDS} s, {SLOTS} at once, p50 and p99, s": _both(ours),
            "the same in the order of arrival, p50 and p99, s": _both(fifo),
        },
    )


def _both(seconds: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in np.percentile(seconds, [50, 99])]


if __name__ == "__main__":
    main()
