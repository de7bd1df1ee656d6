"""The steerability widget: what a vector does to answers, by scale and by layer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import numpy.typing as npt
import traitlets

from ._pack import pack
from ._page import page
from ._table import static_table

_STATIC = Path(__file__).parent / "static"
_MOST_BYTES = 20 << 20

Floats = npt.NDArray[Any]


@dataclass(frozen=True)
class SteerData:
    """What the widget draws. `curves` are the vector's own and the controls; m = logit(favoured) - logit(other) in
    `values` [curves, layers, items, scales]; its `mean` over items with the 95 % interval `band` [layers, scales, 2] of the
    first curve; mean `slope` [curves, layers] with `interval` [curves, layers, 2]; `r2` and `turning`, the share of items
    with a negative slope, [layers]."""

    title: str
    model: str
    site: str
    layers: tuple[int, ...]
    scales: tuple[float, ...]
    curves: tuple[str, ...]
    prompts: tuple[str, ...]
    answers: tuple[tuple[str, str], ...]
    values: Floats
    mean: Floats
    band: Floats
    slope: Floats
    interval: Floats
    r2: Floats
    turning: Floats


class Steer(anywidget.AnyWidget):
    """The curve of a layer and the slopes of all. `layer` is the one that is shown, `item` the one that is read (-1: none),
    `side` what stands beside the curve ("slopes" or "map"); all can be read and set from Python."""

    _esm = _STATIC / "steer.js"
    _css = _STATIC / "steer.css"

    header = traitlets.Dict().tag(sync=True)
    payload = traitlets.Bytes().tag(sync=True)
    layer = traitlets.Int().tag(sync=True)
    item = traitlets.Int(-1).tag(sync=True)
    side = traitlets.Enum(("slopes", "map"), "slopes").tag(sync=True)

    def __init__(self, data: SteerData, force: bool = False, **traits: Any) -> None:
        """Raises ValueError above 20 MB, which no browser draws well, unless `force`."""
        names = ("values", "mean", "band", "slope", "interval", "r2", "turning")
        payload, layout = pack({name: np.asarray(getattr(data, name), np.float32) for name in names})
        if len(payload) > _MOST_BYTES and not force:
            raise ValueError(
                f"this view needs {len(payload) / 1e6:.0f} MB in the notebook; measure fewer layers or items at a time, or "
                "pass force=True"
            )
        self._data = data
        if data.layers:
            traits.setdefault("layer", data.layers[int(np.argmax(data.slope[0]))])
        header = {
            "title": data.title,
            "model": data.model,
            "site": data.site,
            "layers": list(data.layers),
            "scales": list(data.scales),
            "curves": list(data.curves),
            "prompts": list(data.prompts),
            "answers": [list(pair) for pair in data.answers],
            "layout": layout,
        }
        super().__init__(header=header, payload=payload, **traits)

    def to_html(self, path: str | Path) -> Path:
        """Write one offline page with this view as it is now."""
        target = Path(path).expanduser()
        traits = {name: getattr(self, name) for name in ("header", "payload", "layer", "item", "side")}
        footer = (
            f"{self._data.model}: m = logit(favoured answer) - logit(other); intervals are 95 % bootstrap over items"
        )
        text = page(_STATIC / "steer.js", _STATIC / "steer.css", traits, self._data.title, footer)
        target.write_text(text, encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        return table(self._data)


def table(data: SteerData) -> str:
    """The figures by layer, for readers without scripts."""
    rows = []
    for place, layer in enumerate(data.layers):
        low, high = data.interval[0, place]
        shown = [str(layer), f"{data.slope[0, place]:.3f}", f"[{low:.3f}, {high:.3f}]", f"{data.r2[place]:.3f}"]
        shown += [f"{100 * data.turning[place]:.0f} %", *(f"{slope:.3f}" for slope in data.slope[1:, place])]
        rows.append(shown)
    return static_table(data.title, ["layer", "slope", "95 % interval", "R²", "turn away", *data.curves[1:]], rows)
