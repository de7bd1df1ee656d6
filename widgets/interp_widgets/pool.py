"""The pool panel: models, worker groups, jobs and quota of a shared pool, as they are now."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import traitlets

from ._asked import Prompt
from ._table import static_table

_STATIC = Path(__file__).parent / "static"


class PoolPanel(Prompt):
    """Shows `state`, which is set anew as it changes. `cancelling` are the jobs whose end was asked for with a button."""

    _esm = _STATIC / "pool.js"
    _css = _STATIC / "pool.css"
    at_once = ("cancelling",)

    state = traitlets.Dict().tag(sync=True)
    cancelling = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, state: Mapping[str, Any], cancel: Callable[[str], object] = lambda job: None) -> None:
        """`cancel` is called with the id of each job whose end was asked for."""
        super().__init__(state=dict(state))
        self._cancel = cancel
        self.observe(self._asked, "cancelling")

    @property
    def closed(self) -> bool:
        """Whether nobody shows it any more."""
        return self.comm is None

    def _asked(self, change: Any) -> None:
        for job in set(change["new"]) - set(change["old"] or ()):
            self._cancel(job)

    def _repr_html_(self) -> str:
        return table(self.state)


def table(state: Mapping[str, Any]) -> str:
    """The jobs, for readers without scripts."""
    heads = ["job", "user", "what", "state", "attempt", "seconds"]
    rows = [
        [
            job["job"],
            job["user"],
            f"{job['method']} on {job['model']}",
            job["state"],
            str(job["attempt"]),
            f"{job['seconds']:.2f}",
        ]
        for job in state["jobs"]
    ]
    return static_table(f"Pool {state['endpoint']}: {state['running']} running, {state['queued']} queued", heads, rows)
