"""How runs of a lens look."""

import shutil
import threading
from dataclasses import replace
from importlib import import_module
from typing import Any
from weakref import ref

import numpy as np

from ..data import live, view
from ..data.lens_difference import LensDifference
from ..data.lens_run import LensRun, LensRuns
from ..errors import InterpError
from ..terminal import lens_text
from .asked import Asked, offered
from .drawn import drawn, with_static

_SHOWN = 8


def lens_data(run: LensRun) -> Any:
    """A run as its widget draws it."""
    from interp_widgets.lens import LensData

    meta = run.meta
    return LensData(
        title=meta.text or "lens",
        model=f"{meta.provenance.model} · {meta.kind} lens",
        sites=run.sites,
        layers=run.layers,
        positions=run.positions,
        prompt_length=meta.prompt_length,
        vocabulary=meta.vocabulary,
        token_ids=run.token_ids,
        strings=meta.strings,
        top_ids=run.top_ids,
        top_logprobs=run.top_logprobs,
        entropy=run.entropy,
        kl_final=run.kl_final,
        tracked_ids=run.tracked_ids,
        tracked_logprobs=run.tracked_logprobs,
        tracked_ranks=run.tracked_ranks,
    )


def _difference_data(made: LensDifference) -> Any:
    from interp_widgets.lens import LensBase

    run, base = made.run, made.base
    sites = np.array([base.site_index(site) for site in run.sites])
    there = np.ix_(sites, np.maximum(made.base_layers, 0), np.maximum(made.base_rows, 0))
    compared = np.where(np.isnan(made.delta), 0, np.where(made.exact, 1, 2)).astype(np.uint8)
    beside = LensBase(
        name=_named(base, run),
        delta=np.nan_to_num(made.delta),
        compared=compared,
        top_ids=base.top_ids[..., 0][there],
        top_logprobs=base.top_logprobs[..., 0][there],
    )
    data = lens_data(run)
    strings = {**base.meta.strings, **data.strings}
    return replace(data, base=beside, strings=strings, model=f"{data.model}, minus {beside.name}")


def _named(base: LensRun, run: LensRun) -> str:
    """What sets the base apart from a run."""
    if base.provenance.model != run.provenance.model:
        return base.provenance.model
    if base.meta.text != run.meta.text:
        return f"{base.meta.text[:24]!r}"
    return "the same text, otherwise treated"


def lens_widget(run: LensRun) -> Any:
    """The run's widget; where it came from a pool that is still connected, that answers what the reader asks for."""
    widget = import_module("interp_widgets.lens").Lens(lens_data(run))
    pool = live.source_of(run)
    if pool is not None:
        answer(widget, run, pool)
    return widget


def answer(widget: Any, run: LensRun, pool: Any) -> None:
    """Let the pool answer what the reader of a widget asks of a run."""
    from interp_widgets.lens import Answer

    def tell(number: int, made: LensRun | None, text: str) -> None:
        widget.tell(Answer(number, None if made is None else lens_data(made), text, made is None))

    asked = Asked(run, pool, tell)
    widget.answered_by(asked.ask)
    threading.Thread(target=_offer, args=(ref(widget), run, pool), name="interp-offered", daemon=True).start()


def _offer(widget: Any, run: LensRun, pool: Any) -> None:
    try:
        found = offered(run, pool)
    except InterpError:
        return
    if (shown := widget()) is not None:
        shown.offered = list(found)


@view.refresh.register
def _(run: LensRun, shown: Any) -> None:
    shown.show(lens_data(run))


@view.text.register
def _(run: LensRun) -> str:
    return lens_text(run, shutil.get_terminal_size().columns, colour=False)


drawn(LensRun, "lens", "Lens", lens_data, lambda run: f"{run!r}\n{view.text(run)}", lens_widget)
drawn(
    LensDifference,
    "lens",
    "Lens",
    _difference_data,
    repr,
    lambda made: import_module("interp_widgets.lens").Lens(_difference_data(made), mode="difference"),
)


@view.widget.register
def _(runs: LensRuns) -> Any:
    from ipywidgets import HTML, VBox

    more = len(runs) - _SHOWN
    note = [HTML(f"and {more} more runs")] if more > 0 else []
    return VBox([*(run.widget() for run in runs[:_SHOWN]), *note])


@view.mimebundle.register
def _(runs: LensRuns) -> Any:
    return with_static(runs.widget(), "".join(view.html(run) for run in runs[:_SHOWN]), repr(list(runs)))
