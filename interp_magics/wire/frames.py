"""Frames on the wire: `[b"IMP1"] [JSON header] [buffer]*`, checked before anything is believed."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from .fields import BufferSpec

MAGIC = b"IMP1"
MAX_HEADER = 8 << 20
#: A client's messages are shorter, since a worker is told more of a request than the client said.
MAX_CLIENT_HEADER = MAX_HEADER - (1 << 16)
MAX_BUFFERS = 64

_ITEM_BYTES = {"uint8": 1, "int32": 4, "int64": 8, "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
_ENCODER = msgspec.json.Encoder()

Buffer = bytes | memoryview


class WireError(ValueError):
    """Frames that are not a message of this protocol."""


class Reader:
    """Decodes the messages of one direction (a tagged union of structs), with headers of at most `most` bytes."""

    def __init__(self, union: Any, most: int = MAX_HEADER) -> None:
        self._decoder, self._most = msgspec.json.Decoder(union), most

    def read(self, frames: Sequence[Buffer]) -> tuple[Any, list[Buffer]]:
        """(message, buffers). Raises WireError, and nothing else, for whatever is not one."""
        if len(frames) < 2 or bytes(frames[0]) != MAGIC:
            raise WireError("not a message of IMP/1")
        if len(frames) > 2 + MAX_BUFFERS:
            raise WireError(f"{len(frames) - 2} buffers, at most {MAX_BUFFERS} are allowed")
        if len(frames[1]) > self._most:
            raise WireError(f"a header of {len(frames[1])} bytes, at most {self._most} are allowed")
        try:
            message = self._decoder.decode(frames[1])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise WireError(f"not a message of the schema: {error}") from None
        buffers = list(frames[2:])
        check_buffers(message.buffers, buffers)
        return message, buffers


def check_buffers(specs: Sequence[BufferSpec], buffers: Sequence[Buffer]) -> None:
    """Raise WireError unless every buffer is as long as its description says."""
    if len(specs) != len(buffers):
        raise WireError(f"{len(buffers)} buffers came, {len(specs)} are described")
    for spec, buffer in zip(specs, buffers, strict=True):
        size = math.prod(spec.shape) * _ITEM_BYTES[spec.dtype]
        if size != len(buffer):
            raise WireError(
                f"a buffer of {len(buffer)} bytes is described as {spec.dtype}{list(spec.shape)}, {size} bytes"
            )


def encode(message: Any) -> bytes:
    """A header, or a part of one, as it is written."""
    return _ENCODER.encode(message)


def write(message: Any) -> list[bytes]:
    """Frames of a message without buffers."""
    return [MAGIC, _ENCODER.encode(message)]


def write_bytes(message: Any, payload: Buffer) -> list[Buffer]:
    """Frames of a message whose one buffer is `payload` as uint8."""
    described = msgspec.structs.replace(message, buffers=(BufferSpec("uint8", (len(payload),)),))
    return [MAGIC, _ENCODER.encode(described), payload]
