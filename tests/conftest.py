"""What tests of real processes share."""

from collections.abc import Callable

import psutil
import pytest
from hypothesis import HealthCheck, settings

from interp_magics.client import embedded
from tests.pool.conftest import descendants, named

# What passes here passes on a machine that is slower; `--hypothesis-profile=explore` looks further.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", settings.get_profile("same"), derandomize=False, max_examples=2000)
settings.load_profile("same")


@pytest.fixture
def own() -> Callable[[], list[psutil.Process]]:
    """The processes of this package that this test has started so far, other pools of the run left out."""
    before = {process.pid for process in descendants()}
    return lambda: [p for p in descendants() if p.pid not in before and named(p)]


@pytest.fixture
def unshared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pools of this test are not those of others, though they serve the same model."""
    monkeypatch.setattr(embedded, "_shared", {})
