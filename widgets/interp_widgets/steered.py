"""Two continuations side by side, each token coloured by how much likelier steering makes it: HTML without a script."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from ._text import visible

_STRONG = 3.0
_WARM, _COLD = "224, 122, 31", "54, 116, 196"


@dataclass(frozen=True)
class TokenData:
    """A token's text, and its log-probability without and with steering."""

    text: str
    plain: float
    steered: float


@dataclass(frozen=True)
class SteeredData:
    """A prompt and its two continuations; the figures are said in words by `effect` and `cost`."""

    prompt: str
    steering: str
    plain: Sequence[TokenData]
    steered: Sequence[TokenData]
    effect: str
    cost: str


def columns(data: SteeredData) -> str:
    """The view: every text escaped, colours that read on a light and on a dark ground."""
    head = f'<div style="{_PROMPT}">{html.escape(data.prompt)}</div>'
    sides = [
        _side("unsteered", data.plain, data.cost),
        _side(f"steered by {data.steering}", data.steered, data.effect),
    ]
    legend = (
        f'<div style="{_NOTE}">A token is <span style="{_ground(_STRONG)}">likelier</span> or '
        f'<span style="{_ground(-_STRONG)}">less likely</span> under steering; point at one for its probabilities.</div>'
    )
    return f'<div style="{_BODY}">{head}<div style="{_PAIR}">{"".join(sides)}</div>{legend}</div>'


def _side(name: str, tokens: Sequence[TokenData], note: str) -> str:
    shown = "".join(_token(token) for token in tokens)
    return (
        f'<div style="{_SIDE}"><div style="{_NAME}">{html.escape(name)}</div><div style="{_TEXT}">{shown}</div>'
        f'<div style="{_NOTE}">{html.escape(note)}</div></div>'
    )


def _token(token: TokenData) -> str:
    difference = token.steered - token.plain
    title = f"{visible(token.text)}: log-probability {token.plain:.2f} without, {token.steered:.2f} with ({difference:+.2f})"
    return f'<span title="{html.escape(title)}" style="{_ground(difference)}">{html.escape(token.text)}</span>'


def _ground(difference: float) -> str:
    strength = min(1.0, abs(difference) / _STRONG)
    if strength < 0.05:
        return "border-radius:3px"
    return f"border-radius:3px;background:rgba({_WARM if difference > 0 else _COLD}, {0.55 * strength:.2f})"


_BODY = "font:13px/1.6 var(--jp-ui-font-family, system-ui, sans-serif);max-width:980px"
_PROMPT = (
    "white-space:pre-wrap;overflow-wrap:anywhere;opacity:0.75;margin-bottom:6px;border-left:3px solid "
    "rgba(128, 128, 128, 0.4);padding-left:10px"
)
_PAIR = "display:flex;flex-wrap:wrap;gap:14px"
_SIDE = "flex:1 1 300px;border:1px solid rgba(128, 128, 128, 0.35);border-radius:8px;padding:8px 12px"
_NAME = "font-weight:600;font-size:12px;opacity:0.75;margin-bottom:2px"
_TEXT = "white-space:pre-wrap;overflow-wrap:anywhere"
_NOTE = "font-size:11px;opacity:0.7;margin-top:5px"
