"""A lens run as a table for a terminal."""

import math
from typing import Any

import numpy as np

from .data.lens_run import LensRun

_MARKS = {" ": "·", "\n": "↵", "\t": "⇥"}
_LABEL = 14
_LOWEST = -9.0


def lens_text(run: LensRun, width: int, colour: bool, site: int = 0) -> str:
    """One line per token, one column per layer: the top token, coloured by its log-probability."""
    room = max(1, (width - _LABEL - 2) // 10)
    columns = np.unique(np.linspace(0, len(run.layers) - 1, min(room, len(run.layers))).astype(int))
    cell = min(12, (width - _LABEL - 2) // len(columns))
    head = " " * _LABEL + "  " + "".join(f"{run.layers[c]:<{cell}}" for c in columns)
    lines = [f"{'layer':>{_LABEL}}" + head[_LABEL:]]
    for row, position in enumerate(run.positions):
        label = _short(run.tokens[position], _LABEL)
        cells = "".join(_cell(run, site, int(c), row, cell, colour) for c in columns)
        lines.append(f"{label:>{_LABEL}}  {cells}")
    return "\n".join(lines)


def _cell(run: LensRun, site: int, column: int, row: int, width: int, colour: bool) -> str:
    text = f"{_short(run.token(run.top_ids[site, column, row, 0]), width - 1):<{width - 1}}"
    if not colour:
        return text + " "
    strength = max(0.0, 1 - float(run.top_logprobs[site, column, row, 0]) / _LOWEST) ** 2
    return f"{_ansi(strength)}{text}\x1b[0m "


def _ansi(strength: float) -> str:
    """A background of the 24 greys-to-blue of the 256-colour palette, and text that reads on it."""
    ramp = (255, 189, 153, 117, 75, 33, 26)
    at = ramp[min(len(ramp) - 1, math.floor(strength * len(ramp)))]
    return f"\x1b[48;5;{at}m\x1b[38;5;{16 if at not in (33, 26) else 231}m"


def _short(text: Any, length: int) -> str:
    shown = "".join(_MARKS.get(c, c if c.isprintable() else "�") for c in str(text)) or "∅"
    return shown if len(shown) <= length else shown[: max(1, length - 1)] + "…"
