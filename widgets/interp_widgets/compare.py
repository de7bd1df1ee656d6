"""The comparison widget: what several ways to move answers reach, and what each does beside."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ._page import page
from ._table import static_table

_STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class PointData:
    """A strength of a way: mean KL on neutral texts in nats, their perplexity over that without, and the mean change of m
    in each group."""

    strength: float
    kl: float
    perplexity: float
    effects: tuple[float, ...]


@dataclass(frozen=True)
class WayData:
    """A way: whether what lies between two of its `points` exists; where it gets within the budget (`at`), and the share of
    each group's items that prefer there what they prefer without; texts that were read to make it, tokens it adds."""

    name: str
    gradual: bool
    points: tuple[PointData, ...]
    at: PointData
    kept: tuple[float, ...]
    texts: int
    added: int


@dataclass(frozen=True)
class GroupData:
    """Items that belong together."""

    name: str
    items: int


@dataclass(frozen=True)
class CompareData:
    """What the widget draws; `budget` is the KL within which ways are compared."""

    title: str
    model: str
    budget: float
    groups: tuple[GroupData, ...]
    ways: tuple[WayData, ...]


class Compare(anywidget.AnyWidget):
    """A chart for each group: change of m over KL, a line for each way. `way` is the one that stands out ("": none); it can
    be read and set from Python."""

    _esm = _STATIC / "compare.js"
    _css = _STATIC / "compare.css"

    header = traitlets.Dict().tag(sync=True)
    way = traitlets.Unicode("").tag(sync=True)

    def __init__(self, data: CompareData, force: bool = False, **traits: Any) -> None:
        """`force` is for widgets that may grow large; this one does not."""
        self._data = data
        super().__init__(header=asdict(data), **traits)

    def to_html(self, path: str | Path) -> Path:
        """Write one offline page with this view as it is now."""
        target = Path(path).expanduser()
        traits = {"header": self.header, "way": self.way}
        footer = f"{self._data.model}: m = logit(favoured answer) - logit(other); KL and perplexity on neutral texts"
        text = page(_STATIC / "compare.js", _STATIC / "compare.css", traits, self._data.title, footer)
        target.write_text(text, encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        return table(self._data)


def table(data: CompareData) -> str:
    """What each way reaches within the budget, for readers without scripts."""
    groups = [head for group in data.groups for head in (group.name, "kept")]
    rows = []
    for way in data.ways:
        pairs = zip(way.at.effects, way.kept, strict=True)
        reached = [text for effect, kept in pairs for text in (f"{effect:+.3f}", f"{100 * kept:.0f} %")]
        rows.append(
            [way.name, f"{way.at.strength:.2f}", f"{way.at.perplexity:.2f}", *reached, str(way.texts), str(way.added)]
        )
    heads = ["way", "strength", "perplexity ratio", *groups, "texts read", "tokens added"]
    return static_table(f"{data.title}, within a KL of {data.budget:.3g}", heads, rows)
