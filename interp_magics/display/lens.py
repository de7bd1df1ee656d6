"""How runs of a lens look."""

import shutil
from typing import Any

from ..data import view
from ..data.lens_run import LensRun, LensRuns
from ..terminal import lens_text
from .drawn import drawn, with_static

_SHOWN = 8


def _lens_data(run: LensRun) -> Any:
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


@view.refresh.register
def _(run: LensRun, shown: Any) -> None:
    shown.show(_lens_data(run))


@view.text.register
def _(run: LensRun) -> str:
    return lens_text(run, shutil.get_terminal_size().columns, colour=False)


drawn(LensRun, "lens", "Lens", _lens_data, lambda run: f"{run!r}\n{view.text(run)}")


@view.widget.register
def _(runs: LensRuns) -> Any:
    from ipywidgets import HTML, VBox

    more = len(runs) - _SHOWN
    note = [HTML(f"and {more} more runs")] if more > 0 else []
    return VBox([*(run.widget() for run in runs[:_SHOWN]), *note])


@view.mimebundle.register
def _(runs: LensRuns) -> Any:
    return with_static(runs.widget(), "".join(view.html(run) for run in runs[:_SHOWN]), repr(list(runs)))
