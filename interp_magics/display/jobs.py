"""How a job looks while it goes on: where it stands, a button that ends it, and what is there of a lens already."""

import threading
from importlib import import_module
from typing import Any
from weakref import ref

from ..client.job import Job
from ..data import live, view
from ..data.lens_run import LensRun
from ..errors import InterpError
from .lens import answer, lens_data

_EVERY = 0.1


def told(job: Job[Any], end: str) -> dict[str, Any]:
    """What the strip above a view says of a job."""
    progress = job.progress
    return {"state": progress.state, "text": str(progress), "done": progress.done, "total": progress.total, "end": end}


def widget(job: Job[Any]) -> Any:
    """A lens that fills while its job goes on; it is followed in a thread until the job ends or the widget is closed."""
    shown = import_module("interp_widgets.lens").Lens(None, progress=told(job, "button"))
    shown.observe(lambda change: job.cancel(), "cancelled")
    threading.Thread(target=_follow, args=(ref(shown), job), name="interp-job-view", daemon=True).start()
    return shown


def _follow(shown: Any, job: Job[Any]) -> None:
    partial = None
    while not job.wait(_EVERY):
        open_one = shown()
        if open_one is None or open_one.comm is None:
            return
        open_one.progress = told(job, "button")
        if job.progress.partial is not partial:
            partial = job.progress.partial
            open_one.show(lens_data(partial))
        del open_one
    if (open_one := shown()) is not None:
        _end(open_one, job)


def _end(shown: Any, job: Job[Any]) -> None:
    try:
        result = job.result(0)
    except InterpError as error:
        shown.progress = {"state": "ended", "text": str(error)}
        return
    run: LensRun = result if isinstance(result, LensRun) else result[0]
    shown.show(lens_data(run))
    more = 0 if isinstance(result, LensRun) else len(result) - 1
    shown.progress = {"state": "done", "text": f"the first of {more + 1} runs"} if more else {}
    pool = live.source_of(run)
    if pool is not None:
        answer(shown, run, pool)


@view.widget.register
def _(job: Job) -> Any:  # type: ignore[type-arg]
    if job.method != "lens":
        raise TypeError(f"a job of {job.method} has no widget; await it for its result")
    return widget(job)


@view.mimebundle.register
def _(job: Job) -> Any:  # type: ignore[type-arg]
    if job.method != "lens" or job.done:
        return {"text/plain": repr(job)}
    shown = widget(job)
    bundle = shown._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    return {**data, "text/plain": repr(job)}, metadata
