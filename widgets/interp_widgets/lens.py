"""The lens widget: layers x tokens, what the model was about to say."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import numpy.typing as npt
import traitlets

from ._pack import pack, quantise
from ._page import page
from ._ramp import rgb, text_on
from ._text import probability, short, visible

_STATIC = Path(__file__).parent / "static"
_LOWEST = -40.0
_MOST_BYTES = 20 << 20
_FALLBACK_ROWS, _FALLBACK_COLUMNS = 48, 12

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LensData:
    """What the widget draws: arrays [sites, layers, positions, ...]; `strings` reads every token id in them.

    `token_ids` are all tokens that were read and `positions` the decoded ones; log-probabilities are natural.
    """

    title: str
    model: str
    sites: tuple[str, ...]
    layers: tuple[int, ...]
    positions: Ints
    prompt_length: int
    vocabulary: int
    token_ids: Ints
    strings: dict[int, str]
    top_ids: Ints
    top_logprobs: Floats
    entropy: Floats | None
    kl_final: Floats | None
    tracked_ids: Ints
    tracked_logprobs: Floats
    tracked_ranks: Ints


class Lens(anywidget.AnyWidget):
    """Heat map of the top tokens, a card on hover, and pinned tokens with their way through the layers.

    `pins` is a list of {site, position, layer, token_id}, `cursor` [layer, position], `mode` what colours the cells
    ("logprob", "entropy", "kl", "rank"), `site` the site that is shown. All can be read and set from Python.
    """

    _esm = _STATIC / "lens.js"
    _css = _STATIC / "lens.css"

    header = traitlets.Dict().tag(sync=True)
    payload = traitlets.Bytes().tag(sync=True)
    mode = traitlets.Enum(["logprob", "entropy", "kl", "rank"], "logprob").tag(sync=True)
    site = traitlets.Unicode().tag(sync=True)
    pins: traitlets.List[dict[str, int | str]] = traitlets.List().tag(sync=True)
    cursor = traitlets.List([-1, -1]).tag(sync=True)

    def __init__(self, data: LensData, force: bool = False, **traits: Any) -> None:
        """Raises ValueError above 20 MB, which no browser draws well, unless `force`."""
        payload, layout, ids = _packed(data)
        if len(payload) > _MOST_BYTES and not force:
            raise ValueError(
                f"this view needs {len(payload) / 1e6:.0f} MB in the notebook; show fewer layers or positions, or pass force=True"
            )
        self._data = data
        traits.setdefault("site", data.sites[0])
        super().__init__(header=_header(data, layout, ids), payload=payload, **traits)

    def show(self, data: LensData) -> None:
        """Show other data of the same kind; pins, cursor and mode stay."""
        payload, layout, ids = _packed(data)
        self._data = data
        with self.hold_sync():
            self.header, self.payload = _header(data, layout, ids), payload

    def to_html(self, path: str | Path) -> Path:
        """Write one offline page with this view as it is now."""
        target = Path(path).expanduser()
        names = ("header", "payload", "mode", "site", "pins", "cursor")
        footer = f"{self._data.model}: log-probabilities over the whole vocabulary; hover a cell, click to pin a token"
        traits = {name: getattr(self, name) for name in names}
        text = page(_STATIC / "lens.js", _STATIC / "lens.css", traits, self._data.title, footer)
        target.write_text(text, encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        return table(self._data)


def _packed(data: LensData) -> tuple[bytes, dict[str, Any], list[int]]:
    ids, codes = np.unique(data.top_ids, return_inverse=True)
    arrays: dict[str, Any] = {
        "top": codes.reshape(data.top_ids.shape).astype(np.uint16 if len(ids) < 65536 else np.uint32),
        "logprob": quantise(data.top_logprobs, _LOWEST),
        "tracked_logprob": quantise(data.tracked_logprobs, _LOWEST),
        "tracked_rank": data.tracked_ranks.astype(np.uint32),
    }
    if data.entropy is not None:
        arrays["entropy"] = quantise(data.entropy)
    if data.kl_final is not None:
        arrays["kl"] = quantise(data.kl_final)
    payload, layout = pack(arrays)
    return payload, layout, ids.tolist()


def _header(data: LensData, layout: dict[str, Any], ids: list[int]) -> dict[str, Any]:
    shown = {*ids, *data.token_ids.tolist(), *data.tracked_ids.tolist()}
    return {
        "title": data.title,
        "model": data.model,
        "sites": list(data.sites),
        "layers": list(data.layers),
        "positions": data.positions.tolist(),
        "top_k": int(data.top_ids.shape[-1]),
        "prompt_length": data.prompt_length,
        "vocabulary": data.vocabulary,
        "ids": ids,
        "strings": {str(i): data.strings.get(i, f"<id {i}>") for i in sorted(shown)},
        "token_ids": data.token_ids.tolist(),
        "tracked_ids": data.tracked_ids.tolist(),
        "layout": layout,
    }


def table(data: LensData) -> str:
    """A static table of the first site, for readers without scripts: every text escaped, no script, no style sheet."""
    columns = np.unique(np.linspace(0, len(data.layers) - 1, min(_FALLBACK_COLUMNS, len(data.layers))).astype(int))
    rows = range(min(len(data.positions), _FALLBACK_ROWS))
    cell = "padding:1px 6px;font:12px monospace;text-align:left;white-space:pre"
    heads = "".join(f'<th style="{cell}">{data.layers[c]}</th>' for c in columns)
    lines = []
    for row in rows:
        name = data.strings.get(int(data.token_ids[data.positions[row]]), "")
        cells = "".join(_cell(data, int(column), row, cell) for column in columns)
        lines.append(f'<tr><th style="{cell};text-align:right">{html.escape(short(name, 18))}</th>{cells}</tr>')
    more = len(data.positions) - len(rows)
    note = f"<div>and {more} more positions</div>" if more > 0 else ""
    caption = html.escape(f"{data.model}: top token by layer, {data.sites[0]}")
    return f'<table style="border-spacing:1px"><caption>{caption}</caption><tr><th></th>{heads}</tr>{"".join(lines)}</table>{note}'


def _cell(data: LensData, column: int, row: int, style: str) -> str:
    logprob = float(data.top_logprobs[0, column, row, 0])
    token = data.strings.get(int(data.top_ids[0, column, row, 0]), "")
    colour = rgb(max(0.0, 1 + logprob / 9) ** 2)
    title = html.escape(f"{visible(token)} {probability(logprob)}", quote=True)
    look = f"{style};background:rgb{colour};color:{text_on(colour)}"
    return f'<td style="{look}" title="{title}">{html.escape(short(token, 9))}</td>'
