"""What messages are made of."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

LONGEST_ID = 40
JobId = Annotated[str, Meta(pattern=rf"^[0-9a-z]{{8,{LONGEST_ID}}}$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class BufferSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """What a buffer frame holds; its length must equal the size that follows from these."""

    dtype: Literal["uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
    shape: Annotated[tuple[Count, ...], Meta(max_length=8)]


class Sent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A message; `buffers` describes the frames that follow its header."""

    buffers: tuple[BufferSpec, ...] = ()
