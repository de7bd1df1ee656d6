"""How features look: the table, and what a row that is opened shows."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..data import view
from ..data.feature_browser import FeatureBrowser
from ..data.feature_table import Example, Feature, FeatureTable
from ..data.latents import LatentActivations
from ..errors import InterpError
from ..program.latents import LOWEST
from .drawn import with_static

_WORDS = 5
#: Latents that a terminal is told of.
_TOLD = 12
_PAGE = 5
#: Tokens that are shown before and after the strongest.
_BEFORE, _AFTER = 32, 16
_TOGETHER = 8
#: Latents of a token of the prompt that are told at most.
_HERE = 512


def _data(browser: FeatureBrowser) -> Any:
    from interp_widgets.features import FeaturesData

    table, made = browser.table, browser.dictionary
    meta = table.meta
    what = "latents" if meta.dictionary else "neurons"
    histogram = np.asarray(table.tensors["histogram"])
    used = np.flatnonzero(histogram.any(0))
    first, last = (int(used[0]), int(used[-1])) if len(used) else (0, 0)
    return FeaturesData(
        title=f"{table.latents:,} {what} of {meta.site}[{meta.layer}]",
        model=f"{meta.provenance.model} · {meta.site}[{meta.layer}]",
        tokens=meta.tokens,
        texts=meta.texts,
        density=table.density,
        max=table.max,
        coherence=table.coherence,
        histogram=histogram[:, first : last + 1],
        lowest=LOWEST + first,
        active_ids=table.leading_tokens(_WORDS),
        promoted_ids=table.promoted_tokens(_WORDS),
        strings=meta.strings,
        labels={} if made is None else made.labels,
        verdicts={} if made is None else made.verdicts,
        prompt=None if browser.prompt is None else _prompt(browser.prompt),
    )


def _prompt(read: LatentActivations) -> Any:
    from interp_widgets.features import PromptData

    values = np.asarray(read.values, np.float32)
    most = min(_HERE, max(1, int((values > 0).sum(1).max(initial=0))))
    order = np.argsort(-values, axis=1, kind="stable")[:, :most]
    strongest = np.take_along_axis(values, order, 1)
    return PromptData(read.tokens, np.where(strongest > 0, np.asarray(read.latents)[order], -1), strongest)


def opened(browser: FeatureBrowser, latent: int, page: int) -> Iterator[Mapping[str, Any]]:
    """What an opened row shows: at once where each example is strongest, then, if it can be read, the strength of every token."""
    feature = browser.table[latent]
    listed = _listed(feature)
    some = listed[_PAGE * page : _PAGE * (page + 1)]
    told = {
        "latent": latent,
        "page": page,
        "pages": -(-len(listed) // _PAGE),
        "active": [(token, total) for token, total, _ in feature.tokens],
        "promotes": feature.promotes,
        "suppresses": feature.suppresses,
        "correlated": browser.table.correlated(latent, _TOGETHER),
        **_noted(browser, latent),
    }
    reads = browser.strengths is not None and bool(some)
    note = "the strengths of all tokens are being read" if reads else ""
    yield {**told, "examples": [_example(one, kind, None) for one, kind in some], "note": note}
    if browser.strengths is not None and some:
        try:
            strengths = browser.strengths([one.ids for one, _ in some], latent)
        except InterpError as error:
            plain = [_example(one, kind, None) for one, kind in some]
            yield {**told, "examples": plain, "note": f"the strengths of all tokens could not be read: {error}"}
            return
        read = [_example(one, kind, values) for (one, kind), values in zip(some, strengths, strict=True)]
        yield {**told, "examples": read, "note": ""}


def _listed(feature: Feature) -> list[tuple[Example, str]]:
    drawn = sorted(feature.samples, key=lambda one: -one.activation)
    return [*((one, "strongest") for one in feature.examples), *((one, "drawn") for one in drawn)]


def _example(one: Example, kind: str, values: Any) -> dict[str, Any]:
    shown = slice(max(0, one.position - _BEFORE), one.position + _AFTER + 1)
    return {
        "text": one.text,
        "kind": kind,
        "tokens": one.tokens[shown],
        "at": one.position - shown.start,
        "activation": one.activation,
        "values": None if values is None else [float(f"{value:.4g}") for value in values[shown]],
    }


def _noted(browser: FeatureBrowser, latent: int) -> dict[str, Any]:
    notes = {} if browser.dictionary is None else browser.dictionary.notes(latent)
    proofs = notes.get("proofs", [])
    return {"labels": notes.get("labels", []), "proof": _proof(proofs[-1]) if proofs else None}


def _proof(summary: Mapping[str, Any]) -> dict[str, Any]:
    told = [
        f"{name} {found['effect']:+.2f} [{found['interval'][0]:+.2f}, {found['interval'][1]:+.2f}], controls ≤ {found['control']:+.2f}"
        for name in ("necessity", "sufficiency")
        if (found := summary.get(name))
    ]
    side = summary["side_effects"]
    told.append(f"on other texts KL {side['ablated']:.4f} nats ablated, {side['raised']:.4f} raised")
    curves = {name: summary.get(name) for name in ("times", "levels")}
    return {"verdict": summary["verdict"], "told": told, **curves}


def _widget(browser: FeatureBrowser) -> Any:
    module = import_module("interp_widgets.features")
    return module.Features(_data(browser), lambda latent, page: opened(browser, latent, page), opened=browser.opened)


def _export(browser: FeatureBrowser, path: str | Path) -> Path:
    written: Path = _widget(browser).to_html(path)
    return written


def _html(browser: FeatureBrowser) -> str:
    made: str = import_module("interp_widgets.features").table(_data(browser))
    return made


def _text(browser: FeatureBrowser) -> str:
    densest = np.argsort(-browser.table.density, kind="stable")[:_TOLD]
    return f"{browser!r}\n{browser.table.to_pandas(densest).round(4).to_string()}"


view.widget.register(FeatureBrowser, _widget)
view.html.register(FeatureBrowser, _html)
view.text.register(FeatureBrowser, _text)
view.export.register(FeatureBrowser, _export)
view.mimebundle.register(FeatureBrowser, lambda browser: with_static(_widget(browser), _html(browser), _text(browser)))

view.widget.register(FeatureTable, lambda table: _widget(FeatureBrowser(table)))
view.html.register(FeatureTable, lambda table: _html(FeatureBrowser(table)))
view.export.register(FeatureTable, lambda table, path: _export(FeatureBrowser(table), path))
view.text.register(FeatureTable, lambda table: _text(FeatureBrowser(table)))
view.mimebundle.register(FeatureTable, lambda table: view.mimebundle(FeatureBrowser(table)))
