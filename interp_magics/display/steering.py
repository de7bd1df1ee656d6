"""How steering vectors, and what they do, look."""

import shutil
from html import escape
from textwrap import wrap
from typing import Any

import numpy as np

from ..data import view
from ..data.comparison import Comparison
from ..data.steerability import SteerabilityRun
from ..data.steered_text import Continuation, SteeredText
from ..data.vectors import SteeringVector
from .drawn import drawn


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


@view.text.register
def _(run: SteerabilityRun) -> str:
    return f"{run!r}\n{run.table().round(3).to_string()}"


drawn(SteerabilityRun, "steer", "Steer", _steer_data, view.text)


def _compare_data(run: Comparison) -> Any:
    from interp_widgets.compare import CompareData, GroupData, PointData, WayData

    table, costs = run.table(), run.costs()
    effects = run.effects
    ways, start = [], 0
    for way in run.meta.ways:
        points = [
            PointData(strength, float(run.kl[place]), float(run.perplexity[place]), tuple(map(float, effects[place])))
            for place, strength in enumerate(way.strengths, start)
        ]
        start += len(points)
        cost, reached = costs.loc[way.name], table.loc[way.name].loc[list(run.groups)]
        at = PointData(float(cost.strength), float(cost.kl), float(cost.perplexity), tuple(map(float, reached.effect)))
        kept = tuple(map(float, reached.kept))
        ways.append(WayData(way.name, way.gradual, tuple(points), at, kept, way.texts, int(cost.added_tokens)))
    return CompareData(
        title=f"{len(run.ways)} ways on {len(run.plain)} items",
        model=f"{run.meta.provenance.model} · comparison",
        budget=run.budget,
        groups=tuple(GroupData(name, items) for name, items in run.meta.groups),
        ways=tuple(ways),
    )


@view.text.register
def _(run: Comparison) -> str:
    return f"{run!r}\n{run.table().round(3).to_string()}\n\n{run.costs().round(3).to_string()}"


drawn(Comparison, "compare", "Compare", _compare_data, view.text)


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
