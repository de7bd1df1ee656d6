"""Arrays as one binary buffer for the front end, quantised where a picture needs no more, and compressed."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_KINDS = {"uint8": "u8", "uint16": "u16", "uint32": "u32", "int32": "i32", "float32": "f32"}
_ALIGN = 8
#: Higher levels take several times as long and save little.
_LEVEL = 3


@dataclass(frozen=True)
class Quantised:
    """Values as codes: value = code * scale + base, within half a step of what was given."""

    codes: Array
    scale: float
    base: float


def quantise(values: Array, low: float | None = None) -> Quantised:
    """Values as 16-bit codes over their range; those below `low` become `low`."""
    exact = np.asarray(values, np.float64)
    exact = exact if low is None else np.maximum(exact, low)
    base = float(exact.min(initial=0.0))
    scale = (float(exact.max(initial=0.0)) - base) / 65535 or 1.0
    return Quantised(np.rint((exact - base) / scale).astype(np.uint16), scale, base)


def pack(arrays: Mapping[str, Array | Quantised]) -> tuple[bytes, dict[str, Any]]:
    """(buffer, layout): little-endian arrays one after another, each at a multiple of 8 bytes, in zlib's format."""
    pieces: list[bytes] = []
    layout: dict[str, Any] = {}
    offset = 0
    for name, given in arrays.items():
        codes = given.codes if isinstance(given, Quantised) else given
        data = np.ascontiguousarray(codes, codes.dtype.newbyteorder("<")).tobytes()
        slot: dict[str, Any] = {"dtype": _KINDS[codes.dtype.name], "shape": list(codes.shape), "offset": offset}
        if isinstance(given, Quantised):
            slot |= {"scale": given.scale, "base": given.base}
        layout[name] = slot
        padding = -len(data) % _ALIGN
        pieces += [data, b"\0" * padding]
        offset += len(data) + padding
    return zlib.compress(b"".join(pieces), _LEVEL), layout
