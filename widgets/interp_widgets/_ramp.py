"""The front end's ramps for static views (light only)."""

_BLUE = ["#f6f9fd", "#d3e3f5", "#97bfe6", "#4c8bca", "#1b4f91"]


def rgb(value: float) -> tuple[int, int, int]:
    """Colour of a magnitude in [0, 1]."""
    at = min(1.0, max(0.0, value)) * (len(_BLUE) - 1)
    low = min(int(at), len(_BLUE) - 2)
    mix = at - low
    pair = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in _BLUE[low : low + 2]]
    mixed = [round(a + (b - a) * mix) for a, b in zip(*pair, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def text_on(colour: tuple[int, int, int]) -> str:
    """Black or white, whichever reads on it."""
    r, g, b = colour
    return "#10141a" if 0.299 * r + 0.587 * g + 0.114 * b > 125 else "#ffffff"
