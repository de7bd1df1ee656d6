"""What a capture request says."""

from typing import Literal

from msgspec import Struct

from ...program.language import All, Edit, Positions, Sampling, Text


class CaptureRequest(Struct, frozen=True, tag="capture", forbid_unknown_fields=True):
    """Keep the values of `sites` at `layers` (None: all); `reduce` "moments" keeps mean, variance and norm instead."""

    texts: tuple[Text, ...]
    layers: tuple[int, ...] | None = None
    sites: tuple[str, ...] = ("resid_post",)
    positions: Positions = All()
    sampling: Sampling | None = None
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    reduce: Literal["moments"] | None = None
    steer: tuple[Edit, ...] = ()
