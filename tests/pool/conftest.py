"""Real pools: broker, nanny and worker as processes, over a checkpoint that the tests make."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import interp_magics as im
from interp_magics.api import Pool
from interp_magics.client.job import Job
from tests import checkpoints


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.make("qwen3", tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def shared_pool(model: Path) -> Iterator[Pool]:
    """One pool for tests that leave it as it was."""
    with im.connect(model=str(model), threads=1) as pool:
        pool.card()
        yield pool


@pytest.fixture
def pool(shared_pool: Pool) -> Iterator[Pool]:
    """The shared pool, which must still serve when the test is over."""
    yield shared_pool
    assert len(shared_pool.lens([0, 1, 2]).token_ids) == 3


@pytest.fixture
def own_pool(own: Callable[[], list[psutil.Process]], unshared: None, model: Path) -> Iterator[Pool]:
    """A pool of its own, for tests that kill parts of it."""
    with im.connect(model=str(model), threads=1) as pool:
        pool.card()
        yield pool


def descendants(process: psutil.Process | None = None) -> list[psutil.Process]:
    """All processes below one."""
    return (process or psutil.Process()).children(recursive=True)


def named(process: psutil.Process, *words: str) -> bool:
    """Whether a process runs this package with these arguments."""
    try:
        line = process.cmdline()
    except psutil.Error:
        return False
    return "interp_magics" in line and all(word in line for word in words)


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Look again and again until it holds. The bound ends a hang; it measures nothing."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def until_begun(job: Job[Any]) -> None:
    """Wait until some of a job is done."""
    wait_for(lambda: job.progress.done)
