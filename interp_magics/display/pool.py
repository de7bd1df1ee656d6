"""A pool's state as a panel that goes on by itself."""

import threading
import time
from importlib import import_module
from typing import Any
from weakref import ReferenceType, ref

from msgspec import structs, to_builtins

from ..data import view
from ..errors import InterpError
from ..status import PoolStatus, described
from ..wire.standing import JobInfo, Quota
from .drawn import with_static

_EVERY, _SLOWLY = 1.0, 5.0
#: After so many seconds in which nothing changed, the panel looks less often.
_QUIET = 60.0


def told(status: PoolStatus, trouble: str = "") -> dict[str, Any]:
    """What the panel is told."""
    state = status.state
    return {
        "endpoint": status.source.endpoint,
        "user": status.user,
        "admin": status.admin,
        "uptime": state.uptime,
        "queued": state.queued,
        "running": state.running,
        "draining": state.draining,
        "paused": state.paused,
        "models": [
            {"name": m.name, "state": m.state, "queued": m.queued, "detail": described(m), "trouble": m.trouble}
            for m in state.models
        ],
        "groups": [
            {"running": 0, "load": 0.0, "devices": [], "engine": "", **to_builtins(group)} for group in state.groups
        ],
        "jobs": [_job(job, status) for job in state.jobs],
        "quota": _quota(state.quota) if state.quota else [],
        "weight": state.quota.weight if state.quota else 1.0,
        "trouble": trouble,
    }


def _job(job: JobInfo, status: PoolStatus) -> dict[str, Any]:
    return {**structs.asdict(job), "shared": list(job.shared), "mine": job.user == status.user or status.admin}


def _quota(quota: Quota) -> list[dict[str, Any]]:
    shares = (
        ("waiting", quota.queued, False),
        ("running rows", quota.rows, False),
        ("objects", quota.stored, True),
        ("results", quota.results, True),
    )
    return [{"name": name, "used": used, "most": most, "bytes": sized} for name, (used, most), sized in shares]


def widget(status: PoolStatus) -> Any:
    """The panel; it follows the pool in a thread of its own until it, or the connection, is closed."""
    panel = import_module("interp_widgets.pool").PoolPanel(told(status), status.source.cancel)
    threading.Thread(target=_follow, args=(ref(panel), status), name="interp-panel", daemon=True).start()
    return panel


def _follow(panel: "ReferenceType[Any]", status: PoolStatus) -> None:
    changed, shown = time.monotonic(), _moving(status)
    while not status.source.closed:
        time.sleep(_EVERY if time.monotonic() - changed < _QUIET else _SLOWLY)
        open_one = panel()
        if open_one is None or open_one.closed:
            return
        try:
            status = PoolStatus(status.source.state(), status.source, status.user, status.admin)
            trouble = ""
        except InterpError as error:
            trouble = str(error)
        open_one.state = told(status, trouble)
        if _moving(status) != shown:
            changed, shown = time.monotonic(), _moving(status)
        del open_one


def _moving(status: PoolStatus) -> Any:
    """What there is to see, without clocks."""
    state = status.state
    return state.running, state.queued, state.groups, [(job.job, job.state, job.done) for job in state.jobs]


def _mimebundle(status: PoolStatus) -> Any:
    panel = widget(status)
    return with_static(panel, panel._repr_html_(), str(status))


view.widget.register(PoolStatus, widget)
view.text.register(PoolStatus, str)
view.html.register(PoolStatus, lambda status: import_module("interp_widgets.pool").table(told(status)))
view.mimebundle.register(PoolStatus, _mimebundle)
