"""Trainings of dictionaries side by side: their course, and what each reaches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ._page import page
from ._table import static_table

_STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class RunData:
    """One training: after `seen` tokens each, the error (FVU), active latents of a token and share of dead latents (None where that
    was not measured); `cells` are its columns of the table."""

    name: str
    seen: Sequence[int]
    fvu: Sequence[float | None]
    l0: Sequence[float | None]
    dead: Sequence[float | None]
    cells: Sequence[str] = ()


@dataclass(frozen=True)
class SweepData:
    """What the widget draws: every run with what `heads` name, over `total` tokens; `running` while it goes on."""

    title: str
    total: int
    heads: Sequence[str]
    runs: Sequence[RunData]
    running: bool = False


class Sweep(anywidget.AnyWidget):
    """A measure over tokens, and FVU over L0. `metric` is what is drawn ("fvu", "l0", "dead"), `run` the one that stands out ("":
    none); both can be read and set from Python, and `show` gives it other data."""

    _esm = _STATIC / "sweep.js"
    _css = _STATIC / "sweep.css"

    header = traitlets.Dict().tag(sync=True)
    metric = traitlets.Enum(["fvu", "l0", "dead"], "fvu").tag(sync=True)
    run = traitlets.Unicode("").tag(sync=True)

    def __init__(self, data: SweepData, force: bool = False, **traits: Any) -> None:
        """`force` is for widgets that may grow large; this one does not."""
        self._data = data
        super().__init__(header=_header(data), **traits)

    def show(self, data: SweepData) -> None:
        """Show other data; what was chosen stays."""
        self._data = data
        self.header = _header(data)

    def to_html(self, path: str | Path) -> Path:
        """Write one offline page with this view as it is now."""
        target = Path(path).expanduser()
        traits = {"header": self.header, "metric": self.metric, "run": self.run}
        footer = "FVU: share of the variance around the mean that is not explained; L0: active latents of a token"
        text = page(_STATIC / "sweep.js", _STATIC / "sweep.css", traits, self._data.title, footer)
        target.write_text(text, encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        return table(self._data)


def _header(data: SweepData) -> dict[str, Any]:
    runs = [
        {"name": run.name, "cells": list(run.cells)}
        | {name: list(getattr(run, name)) for name in ("seen", "fvu", "l0", "dead")}
        for run in data.runs
    ]
    return {
        "title": data.title,
        "total": data.total,
        "heads": list(data.heads),
        "runs": runs,
        "running": data.running,
    }


def table(data: SweepData) -> str:
    """Where each has got to, for readers without scripts."""

    def last(values: Sequence[float | None], how: str) -> str:
        known = [value for value in values if value is not None]
        return format(known[-1], how) if known else ""

    rows = [
        [run.name, *run.cells, last(run.fvu, ".4f"), last(run.l0, ".1f"), last(run.dead, ".1%")] for run in data.runs
    ]
    return static_table(data.title, ["dictionary", *data.heads, "FVU", "L0", "dead"], rows)
