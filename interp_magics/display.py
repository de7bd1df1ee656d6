"""Results as widgets, static HTML and text: the only place that knows both results and widgets."""

import shutil
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from .data import view
from .data.activations import Activations
from .data.completions import Completion
from .data.lens_run import LensRun, LensRuns
from .data.steerability import SteerabilityRun
from .data.steered_text import Continuation, SteeredText
from .data.vectors import SteeringVector
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
    return _bundle(run, f"{run!r}\n{view.text(run)}")


def _bundle(run: Any, plain: str) -> Any:
    """A widget, with a static view for readers without scripts and text for a terminal."""
    bundle = run.widget()._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    return {**data, "text/html": view.html(run), "text/plain": plain}, metadata


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


def _steer_data(run: SteerabilityRun) -> Any:
    from interp_widgets.steer import SteerData

    meta = run.meta
    return SteerData(
        title=f"{meta.curves[0]}: {len(meta.prompts)} items",
        model=f"{meta.provenance.model} · steerability at {meta.site}",
        site=meta.site,
        layers=meta.layers,
        scales=meta.scales,
        curves=meta.curves,
        prompts=meta.prompts,
        answers=meta.answers,
        values=run.values,
        mean=run.mean_curve,
        band=run.band,
        slope=run.slopes.mean(2),
        interval=np.stack([run.interval(curve) for curve in range(len(meta.curves))]),
        r2=run.r2,
        turning=run.anti_steerable,
    )


@view.widget.register
def _(run: SteerabilityRun) -> Any:
    from interp_widgets.steer import Steer

    return Steer(_steer_data(run))


@view.html.register
def _(run: SteerabilityRun) -> str:
    from interp_widgets.steer import table

    return table(_steer_data(run))


@view.export.register
def _(run: SteerabilityRun, path: str | Path) -> Path:
    from interp_widgets.steer import Steer

    return Steer(_steer_data(run), force=True).to_html(path)


@view.mimebundle.register
def _(run: SteerabilityRun) -> Any:
    return _bundle(run, view.text(run))


@view.text.register
def _(run: SteerabilityRun) -> str:
    return f"{run!r}\n{run.table().round(3).to_string()}"


@view.html.register
def _(text: SteeredText) -> str:
    from interp_widgets.steered import SteeredData, TokenData, columns

    def tokens(one: Continuation) -> list[TokenData]:
        pairs = zip(one.tokens, one.plain, one.steered, strict=True)
        return [TokenData(token, float(plain), float(steered)) for token, plain, steered in pairs]

    return columns(
        SteeredData(
            text.prompt,
            text.steering,
            tokens(text.plain),
            tokens(text.steered),
            f"its tokens are {text.effect:+.2f} nats likelier under steering, on average",
            f"steering costs its tokens {text.cost:.2f} nats, on average",
        )
    )


@view.mimebundle.register
def _(text: SteeredText) -> Any:
    return {"text/html": view.html(text), "text/plain": view.text(text)}


@view.text.register
def _(text: SteeredText) -> str:
    width = shutil.get_terminal_size().columns
    lines = [text.prompt]
    for name, one in (("unsteered", text.plain), (f"steered by {text.steering}", text.steered)):
        lines += [f"{name}:", *(f"  {line}" for line in wrap(one.completion.text, max(20, width - 4)))]
    return "\n".join(lines)


@view.mimebundle.register
def _(vector: SteeringVector) -> Any:
    plain = {"text/plain": view.text(vector)}
    return {**plain, "text/html": view.html(vector)} if vector.made_from.get("diagnostics") else plain


@view.html.register
def _(vector: SteeringVector) -> str:
    table: str = vector.diagnostics().to_html(float_format="{:.3f}".format, border=0)
    return f"<div>{escape(repr(vector))}</div>{table}"


@view.text.register
def _(vector: SteeringVector) -> str:
    table = f"\n{vector.diagnostics().round(3).to_string()}" if vector.made_from.get("diagnostics") else ""
    return f"{vector!r}{table}"
