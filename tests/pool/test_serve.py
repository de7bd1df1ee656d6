"""`interp serve`: a pool that outlives its clients, reached through its connection file."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import interp_magics as im
from tests.pool.conftest import descendants, wait_for


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    """(process, connection file) of a served pool."""
    state = tmp_path_factory.mktemp("state")
    command = [sys.executable, "-m", "interp_magics", "serve", "--model", f"tiny={model}", "--port", "0"]
    environment = {**os.environ, "XDG_STATE_HOME": str(state)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert "serving tiny" in process.stdout.readline()
    yield process, Path(process.stdout.readline().strip().removeprefix("INTERP_POOL_URL="))
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_connection_file_is_its_owners_and_lets_in(served, monkeypatch):
    _, connection = served
    assert stat.S_IMODE(connection.stat().st_mode) == 0o600
    monkeypatch.setenv("INTERP_POOL_URL", str(connection))
    with im.connect() as pool:
        assert pool.models() == ["tiny"]
        assert len(pool.lens([0, 1, 2], timeout=120).token_ids) == 3
    with im.connect(connection.read_text().strip(), model="tiny") as again:
        assert [job.method for job in again.jobs()][:1] == ["lens"]
        with pytest.raises(im.RequestError, match="does not serve 'big'"):
            again.use("big")


def test_a_key_that_was_not_given_out_gets_no_pool(served):
    from interp_magics.api import Pool
    from interp_magics.client.connection import Connection
    from interp_magics.wire.keys import Address, KeyPair

    address = Address.parse(served[1].read_text().strip())
    stranger = Connection(Address(address.endpoint, address.server, KeyPair.make()))
    with pytest.raises(im.PoolUnavailable, match="no pool answers"):
        stranger.connect(1.0)
    Pool(stranger).close()


def test_the_status_command_and_an_end_that_leaves_nothing(served):
    process, connection = served
    environment = {**os.environ, "INTERP_POOL_URL": str(connection)}
    said = subprocess.run(
        [sys.executable, "-m", "interp_magics", "status"], env=environment, capture_output=True, text=True, check=True
    )
    assert "tiny: serving" in said.stdout
    below = descendants(psutil.Process(process.pid))
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0
    wait_for(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in below))
    assert not connection.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["serve"], "name at least one model"),
        (["serve", "--model", "a=x", "--model", "a=y"], "two models have the same name"),
        (["serve", "--model", "qwen=x", "--adapter", "qwn=y"], "did you mean 'qwen'"),
    ],
)
def test_the_administrators_fault_is_one_line(arguments, says):
    done = subprocess.run([sys.executable, "-m", "interp_magics", *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1
