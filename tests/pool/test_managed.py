"""Worker groups that a pool starts itself: on demand, again when they end, anew when they hang."""

import psutil
import pytest

import interp_magics as im
from tests.pool.conftest import descendants, named, until_begun, wait_for
from tests.pool.served import free_ports, serving

IDS = [0, 17, 44, 9]


@pytest.fixture
def config(model, tmp_path):
    """A pool's file, with more lines."""

    def write(text):
        file = tmp_path / "pool.toml"
        file.write_text(f"port = {free_ports()}\nthreads = 1\n{text}".replace("MODEL", str(model)))
        return tmp_path / "pool", "--config", str(file)

    return write


def groups(pool):
    return {group.name: group.state for group in pool.status().state.groups}


def test_models_are_loaded_when_a_job_asks_and_make_room_for_one_another(config):
    models = "".join(f'[[models]]\nname = "{name}"\npath = "MODEL"\non_demand = true\n' for name in ("one", "two"))
    with serving(*config(models)) as served, im.connect(served.connection) as pool:
        assert groups(pool) == {} and {info.state for info in pool.status().state.models} == {"waiting"}
        first = pool.lens(IDS, model="one", timeout=120)
        assert groups(pool) == {"one/0": "up"}
        second = pool.lens(IDS, model="two", wait=False)
        assert (second.result(120).top_ids == first.top_ids).all()
        assert groups(pool) == {"two/0": "up"}


def test_a_nanny_that_is_killed_is_started_again(config):
    with (
        serving(*config('[[models]]\nname = "tiny"\npath = "MODEL"\n')) as served,
        im.connect(served.connection) as pool,
    ):
        pool.lens(IDS, timeout=120)
        below = descendants(psutil.Process(served.process.pid))
        (nanny,) = [process for process in below if named(process, "--config-from-stdin")]
        nanny.kill()
        wait_for(lambda: groups(pool) == {"tiny/0": "gone"})
        assert len(pool.lens(IDS, timeout=120).token_ids) == 4


def test_a_group_that_hangs_is_started_anew_and_the_job_runs_again(config):
    text = '[limits]\nstall_seconds = 3.0\n[[models]]\nname = "tiny"\npath = "MODEL"\n'
    with serving(*config(text)) as served, im.connect(served.connection) as pool:
        pool.card()
        job = pool.generate([IDS] * 8, 110, temperature=1.0, seed=1, wait=False)
        until_begun(job)
        below = descendants(psutil.Process(served.process.pid))
        (process,) = [each for each in below if named(each, "--process")]
        process.suspend()
        assert len(job.result(120)) == 8
        assert job.progress.attempt == 2


def test_health_and_metrics_are_told_over_http(config):
    from urllib.request import urlopen

    http = free_ports(1)
    text = f'http = "127.0.0.1:{http}"\n[[models]]\nname = "tiny"\npath = "MODEL"\n'
    with serving(*config(text)) as served, im.connect(served.connection) as pool:
        pool.lens("a prompt that is nobody's business", timeout=120)

        def told() -> str:
            with urlopen(f"http://127.0.0.1:{http}/metrics", timeout=60) as answer:
                return answer.read().decode()

        wait_for(lambda: 'interp_jobs_total{method="lens",model="tiny",outcome="done"} 1.0' in told())
        wait_for(lambda: 'interp_worker_groups{model="tiny",state="up"} 1.0' in told())
        assert "business" not in told()
        with urlopen(f"http://127.0.0.1:{http}/healthz", timeout=60) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[models]]\nnme = 'x'", "unknown field `nme`"),
        ("[[models]]\nname = 'x'", "model 'x' has no path"),
        ("[[models]]\nname = 'x'\npath = '/nowhere'", "model 'x': /nowhere is no directory here"),
        ("[users]\nada = ['safty']\n[groups.safety]\n[[models]]\nname = 'x'\ngroups = 0", "did you mean 'safety'?"),
        ("prt = 3", "unknown field `prt`"),
        ("models = ", "pool.toml"),
        ("[[models]]\nname = 'x'\npath = 'MODEL'\n[groups.g]\nweight = 0.0", "weight must be above 0"),
        ("http = 'nonsense'\n[[models]]\nname = 'x'\ngroups = 0", "write host:port"),
    ],
)
def test_a_fault_in_the_pools_file_is_one_line(config, tmp_path, text, says):
    from tests.pool.served import Served

    directory, *arguments = config(text)
    done = Served(directory, []).interp("serve", "--directory", str(directory), *arguments)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert says in done.stderr and not (directory / "connection").exists()
