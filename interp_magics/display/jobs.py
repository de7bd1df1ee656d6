"""How a job looks while it goes on: where it stands, a button that ends it, and what is there of a lens already."""

import threading
from importlib import import_module
from typing import Any
from weakref import ref

from ..client.job import Job, Progress
from ..data import live, view
from ..data.lens_run import LensRun
from .lens import answer, lens_data

_EVERY = 0.1


def told(progress: Progress, end: str) -> dict[str, Any]:
    """What the strip above a view says of a job."""
    return {"state": progress.state, "text": str(progress), "done": progress.done, "total": progress.total, "end": end}


def widget(job: Job[Any]) -> Any:
    """A lens that fills while its job goes on; it is followed in a thread until the job ends or the widget is closed."""
    shown = import_module("interp_widgets.lens").Lens(None, progress=told(job.progress, "button"))
    shown.observe(lambda change: job.cancel(), "cancelled")
    threading.Thread(target=_follow, args=(ref(shown), job), name="interp-job-view", daemon=True).start()
    return shown


def _follow(shown: Any, job: Job[Any]) -> None:
    partial = None
    while not job.wait(_EVERY):
        open_one = shown()
        if open_one is None or open_one.comm is None:
            return
        progress = job.progress
        open_one.progress = told(progress, "button")
        if progress.partial is not None and progress.partial is not partial:
            partial = progress.partial
            open_one.show(lens_data(partial))
        del open_one
    if (open_one := shown()) is not None:
        _end(open_one, job)


def _end(shown: Any, job: Job[Any]) -> None:
    """Show the result, or what went wrong, which nobody else would hear of in this thread."""
    try:
        result = job.result(0)
        run: LensRun = result if isinstance(result, LensRun) else result[0]
        shown.show(lens_data(run))
    except Exception as error:
        shown.progress = {"state": "ended", "text": str(error)}
        return
    more = 0 if isinstance(result, LensRun) else len(result) - 1
    shown.progress = {"state": "done", "text": f"the first of {more + 1} runs"} if more else {}
    pool = live.source_of(run)
    if pool is not None:
        answer(shown, run, pool)


@view.widget.register(Job)
def _(job: Job[Any]) -> Any:
    if job.method != "lens":
        raise TypeError(f"a job of {job.method} has no widget; await it for its result")
    return widget(job)


@view.mimebundle.register(Job)
def _(job: Job[Any]) -> Any:
    if job.method != "lens" or job.done:
        return {"text/plain": repr(job)}
    shown = widget(job)
    bundle = shown._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    return {**data, "text/plain": repr(job)}, metadata
