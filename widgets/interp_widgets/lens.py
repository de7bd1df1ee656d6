"""The lens widget: layers x tokens, what the model was about to say."""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import traitlets

from ._asked import RESTING, Asked
from ._pack import pack, quantise
from ._page import page
from ._ramp import rgb, text_on
from ._text import probability, short, visible

_STATIC = Path(__file__).parent / "static"
_LOWEST = -40.0
_MOST_BYTES = 20 << 20
_FALLBACK_ROWS, _FALLBACK_COLUMNS = 32, 8
_TABLE = "border-spacing:1px;font:12px monospace;text-align:left;white-space:pre"

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LensBase:
    """What a run is compared with: `name` it, and for each cell [sites, layers, positions] the log-probability of the run's top
    token here minus that in the base (`delta`), whether it is known exactly (1), only from below (2) or not at all (0), and the
    base's own top token."""

    name: str
    delta: Floats
    compared: npt.NDArray[np.uint8]
    top_ids: Ints
    top_logprobs: Floats


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
    base: LensBase | None = None


@dataclass(frozen=True)
class Answer:
    """What became of question `number`: other data, or None, and a sentence; `trouble` if it could not be answered."""

    number: int
    data: LensData | None
    text: str
    trouble: bool = False


#: Answers a numbered {"track": token} or {"site": name}; called in the thread in which the question arrives.
Ask = Callable[[int, Mapping[str, str]], None]


class Lens(Asked):
    """Heat map of the top tokens, a card on hover, and pinned tokens with their way through the layers.

    `pins` is a list of {site, position, layer, token_id}; `cursor` is [layer, position] and `site` its site; `shown` are the sites
    that stand side by side; `mode` is what colours the cells ("logprob", "rank", "entropy", "kl", "difference"); `zoom` is {} or
    {"layers": [first, last], "positions": [first, last]}. All can be read and set from Python, and are set by the reader.
    """

    _esm = _STATIC / "lens.js"
    _css = _STATIC / "lens.css"
    at_once = ("hail", "asked", "cancelled")

    header = traitlets.Dict().tag(sync=True)
    payload = traitlets.Bytes().tag(sync=True)
    mode = traitlets.Enum(["logprob", "rank", "entropy", "kl", "difference"], "logprob").tag(sync=True)
    site = traitlets.Unicode().tag(sync=True)
    shown = traitlets.List(traitlets.Unicode()).tag(sync=True)
    zoom = traitlets.Dict().tag(sync=True)
    offered = traitlets.List(traitlets.Unicode()).tag(sync=True)
    asked = traitlets.Dict({"id": 0}).tag(sync=True)
    told = traitlets.Dict().tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    cancelled = traitlets.Bool(False).tag(sync=True)
    pins: traitlets.List[dict[str, int | str]] = traitlets.List().tag(sync=True)
    cursor = traitlets.List([-1, -1]).tag(sync=True)

    def __init__(self, data: LensData | None, force: bool = False, **traits: Any) -> None:
        """`data` None is of a run that has not begun. Raises ValueError above 20 MB, which no browser draws well, unless
        `force`."""
        self._force, self._data = force, data
        self._ask: Ask = _nobody
        if data is not None:
            traits.setdefault("site", data.sites[0])
            traits.setdefault("shown", [data.sites[0]])
        super().__init__(**({} if data is None else _traits(data, force)), **traits)
        self.observe(self._asked_for, "asked")

    def show(self, data: LensData) -> None:
        """Show other data of the same kind; pins, cursor, zoom and mode stay."""
        traits = _traits(data, self._force)
        self._data = data
        with self.hold_sync():
            self.set_trait("header", traits["header"])
            self.set_trait("payload", traits["payload"])
            if not self.shown:
                self.site, self.shown = data.sites[0], [data.sites[0]]

    def answered_by(self, ask: Ask) -> None:
        """Let `ask` answer what the reader asks for, by `tell`, whenever it can."""
        self._ask, self.live = ask, True

    def tell(self, answer: Answer) -> None:
        """Answer a question. Raises ValueError for data that is too large to be shown; the view stays as it was then."""
        if answer.data is not None:
            self.show(answer.data)
        self.told = {"id": answer.number, "text": answer.text, "trouble": answer.trouble}

    def to_html(self, path: str | Path) -> Path:
        """Write one offline page with this view as it is now. Raises ValueError while there is nothing to show."""
        if self._data is None:
            raise ValueError("there is nothing to write yet: the run has not begun")
        target = Path(path).expanduser()
        names = ("header", "payload", "mode", "site", "shown", "pins", "cursor", "zoom")
        footer = f"{self._data.model}: log-probabilities over the whole vocabulary; hover a cell, click to pin a token, drag to zoom"
        traits = {name: getattr(self, name) for name in names}
        resting = {**RESTING, "offered": [], "asked": {"id": 0}, "told": {}, "progress": {}, "cancelled": False}
        target.write_text(
            page(_STATIC / "lens.js", _STATIC / "lens.css", {**traits, **resting}, self._data.title, footer),
            encoding="utf-8",
        )
        return target

    def _asked_for(self, change: Any) -> None:
        question = dict(change["new"])
        self._ask(int(question.pop("id", 0)), question)

    def _repr_html_(self) -> str:
        return "" if self._data is None else table(self._data)


def _nobody(number: int, question: Mapping[str, str]) -> None:
    """Nobody answers."""


def _traits(data: LensData, force: bool) -> dict[str, Any]:
    payload, layout, known = _packed(data)
    if len(payload) > _MOST_BYTES and not force:
        raise ValueError(
            f"this view needs {len(payload) / 1e6:.0f} MB in the notebook; show fewer layers or positions, or pass force=True"
        )
    return {"header": _header(data, layout, known), "payload": payload}


def _packed(data: LensData) -> tuple[bytes, dict[str, Any], list[int]]:
    """(payload, its layout, every token id in it); top tokens are places among the ids."""
    base = data.base
    used = [data.top_ids, data.token_ids, data.tracked_ids, *([] if base is None else [base.top_ids])]
    known = np.unique(np.concatenate([ids.ravel() for ids in used]))
    kind = np.uint16 if len(known) < 65536 else np.uint32

    def places(ids: Ints) -> npt.NDArray[Any]:
        return np.searchsorted(known, ids).astype(kind)

    arrays: dict[str, Any] = {
        "known": known.astype(np.uint32),
        "read": places(data.token_ids),
        "top": places(data.top_ids),
        "logprob": quantise(data.top_logprobs, _LOWEST),
        "tracked_logprob": quantise(data.tracked_logprobs, _LOWEST),
        "tracked_rank": data.tracked_ranks.astype(np.uint32),
    }
    if data.entropy is not None:
        arrays["entropy"] = quantise(data.entropy)
    if data.kl_final is not None:
        arrays["kl"] = quantise(data.kl_final)
    if base is not None:
        arrays |= {
            "delta": quantise(base.delta),
            "compared": base.compared,
            "base_top": places(base.top_ids),
            "base_logprob": quantise(base.top_logprobs, _LOWEST),
        }
    payload, layout = pack(arrays)
    return payload, layout, known.tolist()


def _header(data: LensData, layout: dict[str, Any], known: list[int]) -> dict[str, Any]:
    return {
        "title": data.title,
        "model": data.model,
        "sites": list(data.sites),
        "base": "" if data.base is None else data.base.name,
        "layers": list(data.layers),
        "positions": data.positions.tolist(),
        "top_k": int(data.top_ids.shape[-1]),
        "prompt_length": data.prompt_length,
        "vocabulary": data.vocabulary,
        "strings": [data.strings.get(i, f"<id {i}>") for i in known],
        "tracked_ids": data.tracked_ids.tolist(),
        "layout": layout,
    }


def table(data: LensData) -> str:
    """A static table of the first site, for readers without scripts: every text escaped, no script, no style sheet."""
    columns = np.unique(np.linspace(0, len(data.layers) - 1, min(_FALLBACK_COLUMNS, len(data.layers))).astype(int))
    rows = range(min(len(data.positions), _FALLBACK_ROWS))
    heads = "".join(f"<th>{data.layers[c]}</th>" for c in columns)
    lines = []
    for row in rows:
        name = data.strings.get(int(data.token_ids[data.positions[row]]), "")
        cells = "".join(_cell(data, int(column), row) for column in columns)
        lines.append(f'<tr><th align="right">{html.escape(short(name, 18))}</th>{cells}</tr>')
    more = len(data.positions) - len(rows)
    note = f"<div>and {more} more positions</div>" if more > 0 else ""
    caption = html.escape(f"{data.model}: top token by layer, {data.sites[0]}")
    return f'<table cellpadding="3" style="{_TABLE}"><caption>{caption}</caption><tr><th></th>{heads}</tr>{"".join(lines)}</table>{note}'


def _cell(data: LensData, column: int, row: int) -> str:
    logprob = float(data.top_logprobs[0, column, row, 0])
    token = data.strings.get(int(data.top_ids[0, column, row, 0]), "")
    colour = rgb(max(0.0, 1 + logprob / 9) ** 2)
    title = html.escape(f"{visible(token)} {probability(logprob)}", quote=True)
    look = f"background:#{bytes(colour).hex()};color:{text_on(colour)}"
    return f'<td style="{look}" title="{title}">{html.escape(short(token, 9))}</td>'
