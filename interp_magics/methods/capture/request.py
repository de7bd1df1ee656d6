"""What a capture request says."""

from typing import Literal, get_args

from msgspec import Struct

from ...program.handles import Handle, Keep
from ...program.language import All, Edit, Positions, Sampling, Text

DType = Literal["float32", "float16", "bfloat16"]
DTYPES: tuple[DType, ...] = get_args(DType)


class CaptureRequest(Struct, frozen=True, tag="capture", forbid_unknown_fields=True):
    """Read the values of `sites` at `layers` (None: all); `reduce` "moments" gives mean, variance and norm instead.

    `keep` asks for a handle on the rows; `kept` names the row of an earlier call that this one's only text repeats; `first`
    is the number of the first text in the call that this is a slice of.
    """

    texts: tuple[Text, ...]
    layers: tuple[int, ...] | None = None
    sites: tuple[str, ...] = ("resid_post",)
    positions: Positions = All()
    sampling: Sampling | None = None
    dtype: DType | None = None
    reduce: Literal["moments"] | None = None
    steer: tuple[Edit, ...] = ()
    keep: Keep = 0
    kept: Handle | None = None
    first: int = 0
