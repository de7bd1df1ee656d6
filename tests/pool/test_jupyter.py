"""What a user's Jupyter server tells of pools: the lab's, those of kernels, and what is said when one cannot be reached."""

import os
import socket
import stat
from importlib import import_module

import msgspec
import psutil
import pytest

import interp_magics as im
from interp_magics.client import announced
from interp_magics.jupyter.pools import CONFIGURED, Pools
from tests import checkpoints
from tests.pool.conftest import wait_for
from tests.pool.served import Served


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    """Nobody else's announcements, and no configured pool."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.delenv("INTERP_POOL_URL", raising=False)
    import_module("interp_magics.display")


@pytest.fixture
def pools():
    made = Pools()
    yield made
    made.close()


def test_a_kernels_pool_is_there_as_long_as_it_runs_and_its_secret_is_the_users_alone(model, pools, unshared):
    assert pools.states() == []
    with im.connect(model=str(model), threads=1) as pool:
        pool.card()
        (file,) = announced.directory().iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        (told,) = pools.states()
        assert told["own"] and told["state"]["models"][0]["name"] == model.name
        job = pool.generate(["one two three"] * 60, max_new_tokens=110, temperature=1.0, seed=1, wait=False)
        pools.cancel(told["name"], job.id)
        with pytest.raises(im.Cancelled):
            job.result(120)
    assert pools.states() == []


def left(name, process, started, host):
    """An announcement, as a process leaves it behind."""
    where = announced.directory()
    where.mkdir(parents=True, exist_ok=True)
    made = announced.Announcement(process, started, host, "tcp://127.0.0.1:1#key=x")
    (where / name).write_bytes(msgspec.json.encode(made))


def test_what_a_process_that_was_killed_left_behind_is_removed_and_nothing_else(pools):
    here = announced._host()
    left("dead", 999999999, "1", here)
    left("again", os.getpid(), "1", here)
    left("elsewhere", 999999999, "1", "another-host pid:[1]")
    (announced.directory() / "junk").write_text("no pool")
    assert pools.states() == []
    assert sorted(file.name for file in announced.directory().iterdir()) == ["elsewhere", "junk"]


def test_a_pool_that_cannot_be_reached_holds_up_no_other_and_leaves_nothing_open(model, monkeypatch, pools, unshared):
    with im.connect(model=str(model), threads=1) as pool, socket.socket() as deaf:
        pool.card()
        deaf.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{deaf.getsockname()[1]}#key=" + str(pool._connection._address).partition("#key=")[2]
        monkeypatch.setenv("INTERP_POOL_URL", address)
        process = psutil.Process()
        told = {one["name"]: one for one in pools.states()}
        assert told.pop(CONFIGURED)["trouble"] and "state" in next(iter(told.values()))
        files = process.num_fds()
        for _ in range(3):
            pools.states()
        wait_for(lambda: process.num_fds() <= files)
        with pytest.raises(im.RequestError, match="was not ended"):
            pools.cancel(CONFIGURED, "x")


def test_a_lab_s_pool_that_is_lost_is_said_to_be_and_found_again(tmp_path, monkeypatch, pools):
    path = checkpoints.make("qwen3", tmp_path)
    served = Served(tmp_path / "pool", ["--model", f"tiny={path}", "--port", "0", "--groups", "0"])
    served.start()
    monkeypatch.setenv("INTERP_POOL_URL", str(served.connection))
    try:
        (told,) = pools.states()
        assert told["name"] == CONFIGURED and not told["own"] and told["state"]["models"][0]["name"] == "tiny"
    finally:
        served.stop()
    (told,) = pools.states()
    assert told["trouble"] if "state" not in told else "old" in told["state"]["trouble"]
    wait_for(lambda: "state" not in pools.states()[0])
    assert pools.states()[0]["trouble"]
