"""A group over two hosts, whatever happens to either or between them."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import zmq
from msgspec import structs

import interp_magics as im
from interp_magics.launch.config import GroupConfig, ModelSpec, Nodes
from interp_magics.launch.templates import filled
from interp_magics.wire.keys import KeyPair
from interp_magics.worker import meeting
from interp_magics.worker.meeting import Meeting, Seat, interface_to
from tests import checkpoints
from tests.pool.conftest import descendants, until_begun, wait_for
from tests.pool.hosts import Spread, two_hosts
from tests.pool.served import INTERP, Served, free_ports

IDS = [0, 17, 44, 9, 120, 301]
LONG = {"max_new_tokens": 100, "temperature": 1.0, "seed": 5}


@pytest.fixture(scope="module")
def hosts():
    with two_hosts() as made:
        yield made


@pytest.fixture(scope="module")
def spread(tmp_path_factory, hosts):
    root = tmp_path_factory.mktemp("hosts")
    model = checkpoints.make("qwen3", root)
    made = Served(root / "pool", ["--model", f"tiny={model}", "--port", "0", "--groups", "0"])
    try:
        made.start()
        yield Spread(made, hosts, model)
    finally:
        made.stop()


@pytest.fixture
def both(spread):
    """It with its two hosts, and a client."""
    spread.start_missing()
    with im.connect(str(spread.served.connection)) as pool:
        pool.card()
        yield spread, pool


def test_a_host_that_is_awaited_is_named_and_one_started_otherwise_is_told_what_differs(spread):
    spread.start(0)
    with im.connect(str(spread.served.connection)) as pool:
        wait_for(lambda: "waits for its other hosts: --node-rank 1" in str(pool.status()))
        spread.start(1, "--dtype", "bfloat16")
        assert spread.nannies[1].wait(120) != 0
        log = (spread.served.directory / "worker.log").read_text()
        assert "this host was started with dtype='bfloat16', the first with dtype=None; start both alike" in log
        spread.start(1)
        assert len(pool.lens(IDS).token_ids) == len(IDS)


def test_two_hosts_answer_as_one_rank_does_and_leave_no_port_open(both, shared_pool):
    spread, pool = both
    push = im.SteeringVector({1: np.full(48, 0.5)}, name="push")
    options = {"generate": 6, "temperature": 0.8, "seed": 4, "steer": push * 2.0, "track": [5]}
    mine, theirs = pool.lens(IDS, **options), shared_pool.lens(IDS, **options)
    assert np.array_equal(mine.token_ids, theirs.token_ids)
    assert np.abs(mine.top_logprobs - theirs.top_logprobs).max() < 1e-4
    ranks = [spread.ranks(node) for node in (0, 1)]
    assert [len(each) for each in ranks] == [1, 1]
    if spread.hosts.cable:
        network = {Path(f"/proc/{each[0].pid}/ns/net").stat().st_ino for each in ranks}
        assert len(network) == 2
    for each in ranks:
        assert [c for c in each[0].net_connections("inet") if c.status == psutil.CONN_LISTEN] == []
    (door,) = [c.laddr for c in psutil.Process(spread.nannies[0].pid).net_connections("inet") if c.status == "LISTEN"]
    assert door == (spread.hosts.address, spread.port)


def test_a_rank_that_is_killed_on_the_second_host_brings_both_back_and_the_job_is_answered(both):
    spread, pool = both
    wanted = pool.generate([IDS] * 4, **LONG)
    job = pool.generate([IDS] * 4, **LONG, wait=False)
    until_begun(job)
    before = [spread.ranks(node)[0].pid for node in (0, 1)]
    os.kill(before[1], signal.SIGKILL)
    made = job.result(120)
    assert job.progress.attempt == 2
    assert all(np.array_equal(a.completion_ids, b.completion_ids) for a, b in zip(made, wanted, strict=True))
    after = [spread.ranks(node)[0].pid for node in (0, 1)]
    assert not set(before) & set(after)


@pytest.mark.parametrize("node", [0, 1])
def test_a_host_that_is_lost_is_waited_for_and_the_job_is_answered(node, both):
    """Its nanny is killed, and with it what it watched; later it is started anew."""
    spread, pool = both
    job = pool.generate([IDS] * 4, **LONG, wait=False)
    until_begun(job)
    others = {process.pid for process in spread.ranks(1 - node)}
    spread.nannies[node].kill()
    spread.nannies[node].wait()
    wait_for(lambda: not others & {process.pid for process in spread.ranks(1 - node)})
    assert not job.done
    spread.start(node)
    assert len(job.result(120)) == 4 and job.progress.attempt == 2


def test_a_cable_that_is_cut_and_mended(both):
    spread, pool = both
    if not spread.hosts.cable:
        pytest.skip("this process may not make network namespaces")
    job = pool.generate([IDS] * 4, **LONG, wait=False)
    until_begun(job)
    spread.hosts.cut()
    wait_for(lambda: not spread.ranks(0) and not spread.ranks(1))
    wait_for(lambda: "waits for its other hosts: --node-rank 1" in str(pool.status()))
    spread.hosts.mend()
    assert len(job.result(120)) == 4 and job.progress.attempt == 2


@pytest.mark.parametrize("node", [0, 1])
def test_a_host_that_is_told_to_end_lets_what_runs_end_and_the_other_with_it(node, both):
    spread, pool = both
    job = pool.generate([IDS] * 4, **LONG, wait=False)
    until_begun(job)
    spread.nannies[node].send_signal(signal.SIGTERM)
    assert len(job.result(120)) == 4 and job.progress.attempt == 1
    assert [spread.nannies[n].wait(120) for n in (node, 1 - node)] == [0, 0]


SRUN = """#!/bin/bash
while [ "${1#--}" != "$1" ]; do shift; done
export SLURM_NNODES=2
SLURM_NODEID=0 "$@" &
SLURM_NODEID=1 "$@" &
wait
"""


def test_the_script_for_slurm_starts_both_hosts_and_ends_them(spread, tmp_path):
    """With a stand-in for srun. Slurm tells every step that its time is over."""
    for name, text in {"srun": SRUN, "worker.sh": filled("slurm")}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    pool_file, ranks = str(spread.served.directory / "worker"), "--tp 2 --threads 1"
    given = {"POOL": pool_file, "MODEL": f"tiny={spread.model}", "RANKS": ranks, "MASTER_ADDR": "127.0.0.1"}
    slurm = {"SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_PER_NODE": "a100:4"}
    environment = {**os.environ, **given, **slurm, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = subprocess.Popen(["bash", str(tmp_path / "worker.sh")], env=environment)
    try:
        with im.connect(str(spread.served.connection)) as pool:
            assert len(pool.lens(IDS).token_ids) == len(IDS)
        nannies = [p for p in psutil.Process(script.pid).children() if "--node-rank" in p.cmdline()]
        assert len(nannies) == 2
        for nanny in nannies:
            nanny.send_signal(signal.SIGTERM)
        assert script.wait(120) == 0
    finally:
        for process in (*descendants(psutil.Process(script.pid)), script) if script.poll() is None else ():
            process.kill()


def test_what_does_not_fit_a_worker_is_refused_before_anything_starts(spread):
    worker = str(spread.served.directory / "worker")
    for more, said in (
        (["--tp", "2", "--nnodes", "2"], "name an address of the first host"),
        (["--tp", "1", "--nnodes", "2", "--master-addr", "127.0.0.1"], "1 ranks (tp=1 x pp=1) cannot be laid evenly"),
        (["--tp", "2", "--nnodes", "2", "--node-rank", "2"], "hosts are numbered from 0"),
        (["--tp", "2", "--nnodes", "2", "--master-addr", "no-such-host.invalid"], "cannot be reached"),
        (["--tp", "2", "--nnodes", "2", "--master-addr", "192.0.2.7"], "no address by which others reach this host"),
        (["--adapter", "big=/adapters/law"], "--adapter names 'big', which is not served"),
        (["--steering-slots", "4"], "need engine vllm and --compiled"),
    ):
        command = [*INTERP, "worker", "--pool", worker, "--model", f"tiny={spread.model}", *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode != 0 and said in done.stderr, done.stderr


@pytest.fixture
def met():
    """The first host's meeting and a second host's seat, in this process."""
    context, keys = zmq.Context(), KeyPair.make()
    config = GroupConfig(
        "g", "tcp://127.0.0.1:1", "x" * 40, keys.secret.decode(), ModelSpec("m", "/here", tp=2), "/tmp",
        nodes=Nodes(2, 0, "127.0.0.1", free_ports(1)),
    )  # fmt: skip
    first = Meeting(config, context)
    seats = []

    def seat(**changed):
        where = {name: changed.pop(name) for name in ("node_rank", "master_port") if name in changed}
        nodes = structs.replace(config.nodes, **{"node_rank": 1, **where})
        seats.append(Seat(structs.replace(config, nodes=nodes, **changed), context))
        return seats[-1]

    yield first, seat
    for each in seats:
        each.close()
    first.close()
    context.term()


def talk(first, seat, state=(0, "idle", "", False), until=lambda: True):
    """Both tell their state until something holds."""

    def turn():
        seat.say(*state)
        first.hear()
        first.tell()
        seat.hear()
        return until()

    wait_for(turn)


def test_a_start_goes_on_until_what_had_begun_is_gone_anywhere(met):
    first, seat = met
    other = seat()
    assert first.absent == [1] and not first.free and first.broken
    talk(first, other, until=lambda: first.free)
    first.begin("127.0.0.1:9")
    number = first.course.generation
    talk(first, other, until=lambda: other.course and other.course.generation == number)
    assert not first.broken, "it has not begun yet"
    talk(first, other, (number, "running", "", False), until=lambda: not first.free)
    assert not first.broken
    talk(first, other, (number, "ended", "no such file", False), until=lambda: "no such file" in first.refusal)
    assert first.broken
    talk(first, other, (0, "idle", "", False), until=lambda: not first.refusal)
    assert first.broken
    first.stop()
    talk(first, other, until=lambda: first.free and other.course and other.course.generation == 0)
    first.begin("127.0.0.1:9")
    assert first.course.generation > number


def test_who_is_silent_is_lost_on_both_sides(met, monkeypatch):
    first, seat = met
    other = seat()
    talk(first, other, until=lambda: first.free and other.course is not None)
    monkeypatch.setattr(meeting, "LOST_SECONDS", 0.0)
    assert first.absent == [1] and other.course is None


def test_a_stranger_is_not_heard_and_a_second_of_a_number_waits(met):
    first, seat = met
    stranger = seat(secret_key=KeyPair.make().secret.decode())
    for _ in range(20):
        stranger.say(0, "idle", "", False)
        first.socket.poll(20)
        first.hear()
    assert first.absent == [1]
    other, second = seat(), seat()
    talk(first, other, until=lambda: first.free and other.course is not None)
    for _ in range(20):
        second.say(0, "idle", "", True)
        first.socket.poll(20)
        first.hear()
        first.tell()
        second.hear()
    assert "another host is number 1 now" in second.course.waiting and not first.leaving


def test_a_host_that_comes_anew_ends_what_ran_there_before(met, monkeypatch):
    """As when it is started again faster than its silence is noticed."""
    first, seat = met
    other = seat()
    talk(first, other, until=lambda: first.free)
    first.begin("127.0.0.1:9")
    state = (first.course.generation, "running", "", False)
    talk(first, other, state, until=lambda: not first.free)
    again = seat()
    talk(first, again, until=lambda: again.course is not None and again.course.waiting)
    assert not first.broken
    monkeypatch.setattr(meeting, "LOST_SECONDS", 0.5)
    talk(first, again, until=lambda: first.broken)
    first.hear()
    assert first.broken


def test_a_connection_that_breaks_and_comes_back_is_the_same_host(met):
    first, seat = met
    with breakable(first.socket.last_endpoint) as (port, snap):
        other = seat(master_port=port)
        talk(first, other, until=lambda: first.free and other.course is not None)
        first.begin("127.0.0.1:9")
        state = (first.course.generation, "running", "", False)
        talk(first, other, state, until=lambda: not first.free)
        heard = first._others[1].at
        snap()
        talk(first, other, state, until=lambda: first._others[1].at > heard + 0.2)
        assert other.course.generation == first.course.generation and not first.broken and not first.lost


@contextmanager
def breakable(endpoint):
    """(port, what breaks all connections) of a way to an endpoint."""
    host, _, port = endpoint.decode().removeprefix("tcp://").rpartition(":")
    listener, open_ends = socket.create_server(("127.0.0.1", 0)), []

    def carry(source, target):
        with suppress(OSError):
            while data := source.recv(4096):
                target.sendall(data)

    def accept():
        with suppress(OSError):
            while True:
                here, _ = listener.accept()
                there = socket.create_connection((host, int(port)))
                open_ends.extend((here, there))
                for ends in ((here, there), (there, here)):
                    threading.Thread(target=carry, args=ends, daemon=True).start()

    def snap():
        for end in open_ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
        open_ends.clear()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], snap
    finally:
        listener.close()
        snap()


def test_hosts_that_wait_say_little(both):
    """By the clock, not in answer to each other."""
    spread, _ = both

    def switches():
        return sum(psutil.Process(nanny.pid).num_ctx_switches().voluntary for nanny in spread.nannies.values())

    before = switches()
    time.sleep(3)
    assert switches() - before < 400


def test_what_a_lost_host_did_is_told_apart_from_what_a_rank_did(met, monkeypatch):
    first, seat = met
    other = seat()
    talk(first, other, until=lambda: first.free)
    first.begin("127.0.0.1:9")
    running = (first.course.generation, "running", "", False)
    talk(first, other, running, until=lambda: not first.free)
    died = time.monotonic()
    first.stop()
    assert not first.known(died)
    talk(first, other, running, until=lambda: first._others[1].at > died)
    assert not first.known(died), "it has not ended there yet"
    talk(first, other, until=lambda: first.known(died))
    assert not first.lost
    first.begin("127.0.0.1:9")
    monkeypatch.setattr(meeting, "LOST_SECONDS", 0.0)
    first.hear()
    assert first.lost and first.known(time.monotonic())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"node_rank": 2}, "has no place for --node-rank 2"),
        ({"model": ModelSpec("m", "/there", tp=2, dtype="float16")}, "dtype='float16'"),
    ],
)
def test_a_host_that_is_otherwise_is_told_why(met, changed, said):
    first, seat = met
    other = seat(**changed)
    talk(first, other, until=lambda: other.course is not None and said in other.course.refused)
    assert first.absent == [1]


def test_the_interface_is_the_one_that_leads_there(hosts):
    name, own = interface_to(hosts.address)
    assert own == hosts.address and name == (hosts.cable or "lo")
    with pytest.raises(im.RequestError, match="cannot be reached"):
        interface_to("no-such-host.invalid")
    if hosts.cable:
        code = f"from interp_magics.worker.meeting import interface_to; print(interface_to({hosts.address!r})[0])"
        found = subprocess.run(
            [*hosts.on_second, sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == "cable"
