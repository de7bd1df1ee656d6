"""Results as widgets, static HTML and text: the only place that knows both results and widgets."""

import shutil
from pathlib import Path
from typing import Any

from .data import view
from .data.activations import Activations
from .data.completions import Completion
from .data.lens_run import LensRun, LensRuns
from .terminal import lens_text


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


@view.widget.register
def _(run: LensRun) -> Any:
    from interp_widgets.lens import Lens

    return Lens(_lens_data(run))


@view.refresh.register
def _(run: LensRun, shown: Any) -> None:
    shown.show(_lens_data(run))


@view.html.register
def _(run: LensRun) -> str:
    from interp_widgets.lens import table

    return table(_lens_data(run))


@view.text.register
def _(run: LensRun) -> str:
    return lens_text(run, shutil.get_terminal_size().columns, colour=False)


@view.export.register
def _(run: LensRun, path: str | Path) -> Path:
    from interp_widgets.lens import Lens

    return Lens(_lens_data(run), force=True).to_html(path)


@view.mimebundle.register
def _(run: LensRun) -> Any:
    made = run.widget()
    bundle = made._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    return {**data, "text/html": view.html(run), "text/plain": f"{run!r}\n{view.text(run)}"}, metadata


_SHOWN = 8


@view.widget.register
def _(runs: LensRuns) -> Any:
    from ipywidgets import HTML, VBox

    more = len(runs) - _SHOWN
    note = [HTML(f"and {more} more runs")] if more > 0 else []
    return VBox([*(run.widget() for run in runs[:_SHOWN]), *note])


@view.mimebundle.register
def _(runs: LensRuns) -> Any:
    bundle = runs.widget()._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    return {
        **data,
        "text/html": "".join(view.html(run) for run in runs[:_SHOWN]),
        "text/plain": repr(list(runs)),
    }, metadata


@view.text.register
def _(activations: Activations) -> str:
    lines = [repr(activations)]
    for i, row in enumerate(activations.rows[:5]):
        start = "".join(activations.tokens(i))[:60]
        lines.append(f"  row {i}: {len(row.token_ids)} tokens, {start!r}")
    more = len(activations.rows) - 5
    return "\n".join([*lines, f"  and {more} more rows"] if more > 0 else lines)


@view.text.register
def _(completion: Completion) -> str:
    return completion.text
