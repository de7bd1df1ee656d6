"""The feature table: every latent of a dictionary as a row; one that is opened shows its examples, what it says, what it does."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import numpy.typing as npt
import traitlets

from ._pack import pack
from ._page import page
from ._table import static_table
from ._text import visible

_STATIC = Path(__file__).parent / "static"
_FALLBACK_ROWS = 24
#: What an offline page spends on opened rows.
_PAGE_BYTES = 4 << 20

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
#: What an opened row shows: of (latent, page) everything as plain values, a list of steps, each of which replaces the one before.
Opener = Callable[[int, int], Iterator[Mapping[str, Any]]]


@dataclass(frozen=True)
class PromptData:
    """A text's `tokens`, and of each the latents that are most active there with their activations [tokens, n], -1 for none."""

    tokens: tuple[str, ...]
    latents: Ints
    values: Floats


@dataclass(frozen=True)
class FeaturesData:
    """What the widget draws of m latents: density, max and coherence [m], histogram [m, bins] of activations by powers of two from
    2^lowest on, `active_ids` and `promoted_ids` [m, n] of tokens that `strings` reads (-1 for none), labels and verdicts by latent."""

    title: str
    model: str
    tokens: int
    texts: int
    density: Floats
    max: Floats
    coherence: Floats
    histogram: Ints
    lowest: int
    active_ids: Ints
    promoted_ids: Ints
    strings: Mapping[int, str]
    labels: Mapping[int, str] = field(default_factory=dict)
    verdicts: Mapping[int, str] = field(default_factory=dict)
    prompt: PromptData | None = None


class Features(anywidget.AnyWidget):
    """A table that is scrolled, sorted, filtered and searched in the browser; all of its state can be read and set from Python.

    `sort` is [column, descending]; `query` is searched in labels and tokens, or is a latent's number; `only` is "all", "labelled", or a
    verdict; `densities` are the bounds of the densities that are shown; `opened` is the latent that is open (-1: none) and `page`
    the page of its examples; `token` is the token of the prompt whose latents are shown (-1: all latents).
    """

    _esm = _STATIC / "features.js"
    _css = _STATIC / "features.css"

    header = traitlets.Dict().tag(sync=True)
    payload = traitlets.Bytes().tag(sync=True)
    sort = traitlets.List(["density", True]).tag(sync=True)
    query = traitlets.Unicode("").tag(sync=True)
    only = traitlets.Enum(["all", "labelled", "causal", "correlational", "inconclusive"], "all").tag(sync=True)
    densities = traitlets.List([0.0, 1.0]).tag(sync=True)
    opened = traitlets.Int(-1).tag(sync=True)
    page = traitlets.Int(0).tag(sync=True)
    token = traitlets.Int(-1).tag(sync=True)
    detail = traitlets.Dict().tag(sync=True)

    def __init__(self, data: FeaturesData, opener: Opener, **traits: Any) -> None:
        """`opener` gives what an opened row shows; it is called in a thread of its own, so it may take its time."""
        self._data, self._opener = data, opener
        self._wanted = (-1, 0)
        self._telling = threading.Lock()
        payload, layout = pack(_arrays(data))
        super().__init__(header=_header(data, layout), payload=payload, **traits)
        self.observe(self._open, ["opened", "page"])
        self._open()

    def to_html(self, path: str | Path) -> Path:
        """Write one offline page with this view as it is now, and the first page of examples of as many latents as a few megabytes
        hold: the open one, those with labels and verdicts, then the others as they are sorted."""
        target = Path(path).expanduser()
        names = ("header", "payload", "sort", "query", "only", "densities", "opened", "page", "token")
        traits = {name: getattr(self, name) for name in names} | {"detail": {}, "details": self._details()}
        told = self._data
        footer = (
            f"{told.model}, over {told.tokens:,} tokens of {told.texts:,} texts; a latent is active where it is above 0"
        )
        text = page(_STATIC / "features.js", _STATIC / "features.css", traits, told.title, footer)
        target.write_text(text, encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        return table(self._data)

    def _open(self, change: Any = None) -> None:
        wanted = (self.opened, self.page)
        with self._telling:
            if wanted == self._wanted:
                return
            self._wanted = wanted
        if 0 <= self.opened < len(self._data.density):
            threading.Thread(target=self._fetch, args=wanted, name="interp-feature", daemon=True).start()

    def _fetch(self, latent: int, number: int) -> None:
        try:
            for step in self._opener(latent, number):
                if not self._tell(latent, number, step):
                    return
        except Exception as error:
            self._tell(latent, number, {"latent": latent, "page": number, "error": f"{type(error).__name__}: {error}"})

    def _tell(self, latent: int, number: int, told: Mapping[str, Any]) -> bool:
        """Show it, if it is still what is open; whether it was."""
        with self._telling:
            if self._wanted != (latent, number):
                return False
            self.detail = dict(told)
            return True

    def _details(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        spent = 0
        for latent in self._worth():
            for step in self._opener(latent, 0):
                made[str(latent)] = dict(step)
            spent += len(repr(made.get(str(latent))))
            if spent > _PAGE_BYTES:
                break
        return made

    def _worth(self) -> Iterator[int]:
        told = self._data
        column, descending = self.sort
        numbers: dict[str, Floats] = {"density": told.density, "max": told.max, "coherence": told.coherence}
        values = numbers.get(str(column), np.arange(len(told.density), dtype=float))
        order = np.argsort(-values if descending else values, kind="stable")
        first = (one for one in (self.opened, *told.labels, *told.verdicts) if 0 <= one < len(order))
        yield from dict.fromkeys([*first, *(int(one) for one in order)])


def _arrays(data: FeaturesData) -> dict[str, Any]:
    peak = np.maximum(data.histogram.max(1, keepdims=True), 1)
    arrays: dict[str, Any] = {
        "density": data.density.astype(np.float32),
        "max": data.max.astype(np.float32),
        "coherence": data.coherence.astype(np.float32),
        "histogram": np.ceil(data.histogram / peak * 255).astype(np.uint8),
        "active": data.active_ids.astype(np.int32),
        "promoted": data.promoted_ids.astype(np.int32),
    }
    if data.prompt is not None:
        arrays["prompt_latents"] = data.prompt.latents.astype(np.int32)
        arrays["prompt_values"] = data.prompt.values.astype(np.float32)
    return arrays


def _header(data: FeaturesData, layout: dict[str, Any]) -> dict[str, Any]:
    shown = np.unique(np.concatenate([data.active_ids.ravel(), data.promoted_ids.ravel()]))
    return {
        "title": data.title,
        "model": data.model,
        "tokens": data.tokens,
        "texts": data.texts,
        "lowest": data.lowest,
        "strings": {str(token): data.strings.get(int(token), f"<id {token}>") for token in shown if token >= 0},
        "labels": {str(latent): label for latent, label in data.labels.items()},
        "verdicts": {str(latent): verdict for latent, verdict in data.verdicts.items()},
        "prompt": None if data.prompt is None else list(data.prompt.tokens),
        "layout": layout,
    }


def table(data: FeaturesData) -> str:
    """The densest latents, for readers without scripts."""
    order = np.argsort(-data.density, kind="stable")[:_FALLBACK_ROWS]

    def words(ids: Ints) -> str:
        return " ".join(visible(data.strings.get(int(token), "")) for token in ids if token >= 0)

    rows = [
        [
            str(latent),
            f"{data.density[latent]:.3%}",
            f"{data.max[latent]:.3g}",
            words(data.active_ids[latent]),
            words(data.promoted_ids[latent]),
            data.labels.get(int(latent), ""),
            data.verdicts.get(int(latent), ""),
        ]
        for latent in order
    ]
    more = len(data.density) - len(rows)
    caption = f"{data.title}, the densest" + (f"; and {more:,} more" if more else "")
    return static_table(caption, ["latent", "density", "max", "active on", "promotes", "label", "verdict"], rows)
