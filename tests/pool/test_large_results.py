"""Results above the size of a message: a descriptor on the same host, chunks on a second endpoint, the rest on the first."""

import mmap
import select
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest

from interp_magics.broker.door import Door
from interp_magics.client.door import mapped
from interp_magics.errors import PoolUnavailable


@pytest.fixture
def door(tmp_path):
    made = Door(tmp_path)
    yield made
    made.close()


def _ask(door, ticket, size):
    """`mapped`, while the door is answered as the broker's loop would."""
    with ThreadPoolExecutor() as elsewhere:
        asked = elsewhere.submit(mapped, door.path, ticket, size)
        while not asked.done():
            door.answer()
    return asked.result()


def test_a_ticket_opens_one_file_once(door, tmp_path):
    (tmp_path / "result").write_bytes(b"abc" * 5000)
    ticket = door.ticket(tmp_path / "result")
    data = _ask(door, ticket, 15000)
    assert isinstance(data, mmap.mmap) and data[:6] == b"abcabc"
    with pytest.raises(TypeError):
        data[0] = 1
    assert _ask(door, ticket, 15000) is None
    assert _ask(door, "0" * 32, 15000) is None
    assert _ask(door, door.ticket(tmp_path / "gone"), 15000) is None


def test_a_caller_who_says_nothing_keeps_nobody_waiting_and_is_dismissed(door, tmp_path, monkeypatch):
    (tmp_path / "result").write_bytes(b"x" * 8)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(door.path)
        assert len(_ask(door, door.ticket(tmp_path / "result"), 8)) == 8
        monkeypatch.setattr("interp_magics.broker.door.time.monotonic", lambda: 1e12)
        door.expire()
        assert silent.recv(1) == b""


def test_the_door_leaves_nothing_behind_also_where_its_path_is_too_long(tmp_path):
    for directory in (tmp_path, tmp_path / ("long" * 30)):
        directory.mkdir(exist_ok=True)
        made = Door(directory)
        made.close()
        assert not Path(made.path).exists()
        assert Path(made.path).parent == tmp_path or not Path(made.path).parent.exists()


def test_a_door_out_of_descriptors_does_not_keep_the_loop_turning(door, tmp_path, monkeypatch):
    def refuse(listener):
        raise OSError(24, "Too many open files")

    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(door.path)
        with monkeypatch.context() as patched:
            patched.setattr(socket.socket, "accept", refuse)
            door.answer()
        assert not select.select([door.fileno()], [], [], 0)[0]
        door.expire()
        assert select.select([door.fileno()], [], [], 1)[0]


def test_a_file_that_cannot_be_mapped_is_sent_instead(pool, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", refuse)
    assert _large(pool).result(120).nbytes > 4 << 20


def test_a_fault_in_the_clients_thread_ends_its_jobs_and_not_the_thread(pool, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("broken")

    with monkeypatch.context() as patched:
        patched.setattr(pool._connection, "_take_done", broken)
        with pytest.raises(PoolUnavailable, match="broken"):
            pool.lens([0, 1], wait=False).result(120)


SITES = "resid_post,mlp_act,attn_pattern,resid_mid,mlp_out,attn_out"


def _large(pool):
    return pool.capture([list(range(100))] * 24, sites=SITES, wait=False)


def test_a_large_result_on_this_host_is_mapped_and_elsewhere_sent(pool, monkeypatch):
    mapped_result = _large(pool).result(120)
    assert mapped_result.nbytes > 4 << 20 and _is_mapped(mapped_result)
    away = msgspec.structs.replace(pool._connection.welcome, door="/nowhere")
    monkeypatch.setattr(pool._connection, "welcome", away)
    sent = _large(pool).result(120)
    assert not _is_mapped(sent)
    for site in SITES.split(","):
        assert np.array_equal(sent.array(site, row=5), mapped_result.array(site, row=5))


def test_a_bulk_endpoint_out_of_reach_does_not_lose_the_result(own_pool, monkeypatch):
    welcome = own_pool._connection.welcome
    monkeypatch.setattr(own_pool._connection, "welcome", msgspec.structs.replace(welcome, door="", bulk=9))
    assert _large(own_pool).result(120).nbytes > 4 << 20


def _is_mapped(acts):
    base = acts.array("resid_post", row=0)
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)
