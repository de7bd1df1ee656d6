"""Token texts as a person should see them: the same rules as the front end's."""

import math
import re

_MARKS = {" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"}
_HIDDEN = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def visible(token: str) -> str:
    """A token with white space marked and control characters named."""
    shown = "".join(_MARKS.get(c) or _HIDDEN.sub(lambda m: f"⟨{ord(m[0]):04X}⟩", c) for c in token)
    return shown or "∅"


def short(token: str, length: int) -> str:
    """`visible`, cut to `length` characters."""
    shown = visible(token)
    return shown if len(shown) <= length else shown[: max(1, length - 1)] + "…"


def probability(logprob: float) -> str:
    """A probability from its natural logarithm: "83.0 %", "0.4 %", "2e-06"."""
    p = math.exp(logprob)
    if p >= 0.9995:
        return "100 %"
    if p >= 0.1:
        return f"{100 * p:.1f} %"
    return f"{100 * p:.2g} %" if p >= 0.001 else f"{p:.0e}"
