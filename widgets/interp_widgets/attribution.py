"""The attribution widget: what each part of a model adds to a logit difference, and what a head attends to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import traitlets

from ._asked import RESTING, Asked
from ._pack import Quantised, pack
from ._page import page
from ._table import static_table
from ._text import visible

_STATIC = Path(__file__).parent / "static"
#: Positions of a pattern that a view takes; of more the newest are shown.
MOST_POSITIONS = 512
_STRONGEST = 12

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AttributionData:
    """What the widget draws: `tokens` that were read, what the parts add in logits (`attn` and `mlp` [L], `heads` [L, H] or None)."""

    model: str
    target: str
    foil: str
    tokens: tuple[str, ...]
    embed: float
    attn: Floats
    mlp: Floats
    heads: Floats | None
    constant: float
    total: float


#: Called with layer and head, in the thread in which the question arrives.
Ask = Callable[[int, int], None]


class Attribution(Asked):
    """Bars of every part over layers, the heads below them, and the attention pattern of the head that is chosen.

    `chosen` is {} or {"layer": l, "head": h}; it can be read and set from Python.
    """

    _esm = _STATIC / "attribution.js"
    _css = _STATIC / "attribution.css"
    at_once = ("hail", "chosen", "trouble")

    header = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)
    pattern = traitlets.Dict().tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)
    trouble = traitlets.Unicode().tag(sync=True)

    def __init__(self, data: AttributionData, force: bool = False) -> None:
        super().__init__(header=_header(data), weights=b"")
        self._data = data
        self._ask: Ask = _nobody
        self.observe(self._chosen, "chosen")

    def answered_by(self, ask: Ask) -> None:
        """Let `ask` fetch patterns, and `show` them whenever it can."""
        self._ask, self.live = ask, True

    def show(self, layer: int, head: int, weights: Floats) -> None:
        """Show the pattern [queries, keys] of a head."""
        newest = np.asarray(weights, np.float32)[-MOST_POSITIONS:, -MOST_POSITIONS:]
        codes = np.rint(np.clip(newest, 0, 1) * 255).astype(np.uint8)
        payload, layout = pack({"weights": Quantised(codes, 1 / 255, 0.0)})
        with self.hold_sync():
            self.weights, self.trouble = payload, ""
            first = len(weights) - len(newest)
            self.pattern = {"layer": layer, "head": head, "first": first, "layout": layout}

    def to_html(self, path: str | Path) -> Path:
        """Write one offline page with this view as it is now."""
        target = Path(path).expanduser()
        names = ("header", "chosen", "pattern", "weights")
        traits = {name: getattr(self, name) for name in names} | {**RESTING, "trouble": ""}
        title = f"{visible(self._data.target)} over {visible(self._data.foil)}"
        footer = f"{self._data.model}: direct logit attribution with the scale of the final norm held; the parts sum to the logits"
        files = _STATIC / "attribution.js", _STATIC / "attribution.css"
        target.write_text(page(*files, traits, title, footer), encoding="utf-8")
        return target

    def _chosen(self, change: Any) -> None:
        if change["new"]:
            self._ask(int(change["new"]["layer"]), int(change["new"]["head"]))

    def _repr_html_(self) -> str:
        return table(self._data)


def _nobody(layer: int, head: int) -> None:
    """Nobody answers."""


def _header(data: AttributionData) -> dict[str, Any]:
    return {
        "model": data.model,
        "target": data.target,
        "foil": data.foil,
        "tokens": list(data.tokens[-MOST_POSITIONS:]),
        "embed": data.embed,
        "attn": _short(data.attn),
        "mlp": _short(data.mlp),
        "heads": [] if data.heads is None else [_short(layer) for layer in data.heads],
        "constant": data.constant,
        "total": data.total,
    }


def _short(values: Floats) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def table(data: AttributionData) -> str:
    """The parts that add most, for readers without scripts."""
    parts = [("embed", data.embed), ("biases", data.constant)]
    for layer, (attn, mlp) in enumerate(zip(data.attn, data.mlp, strict=True)):
        parts += [(f"attention of layer {layer}", float(attn)), (f"MLP of layer {layer}", float(mlp))]
    strongest = sorted(parts, key=lambda part: -abs(part[1]))[:_STRONGEST]
    caption = f"{data.model}: {visible(data.target)} over {visible(data.foil)}, {data.total:+.2f} logits"
    return static_table(caption, ["part", "logits"], [[name, f"{value:+.2f}"] for name, value in strongest])
