"""A short run of chaos; `make chaos` is the long one."""

import pytest

from tests.chaos.chaos import run


@pytest.mark.timeout(280)
def test_every_job_ends_once_as_it_should_and_nothing_is_left():
    report = run(seed=4, jobs=150)
    assert not report.wrong and not report.left
    assert report.outcomes["result"] > 50 and sum(report.faults.values()) >= 3
