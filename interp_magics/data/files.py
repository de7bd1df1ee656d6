"""Safetensors with a JSON metadata entry: the one format of results, stored objects and saved files.

Written by the safetensors library; read here, because its numpy side does not know bfloat16, and so that a large file is
mapped rather than copied.
"""

import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from ..errors import RequestError

Array = npt.NDArray[Any]

_KEY = "interp_magics"
_MAX_HEADER = 64 << 20
_DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}


def encode(tensors: Mapping[str, Array], meta: Any) -> bytes:
    """Canonical bytes: the same tensors and metadata (in the same order) give the same bytes."""
    text = json.dumps(meta, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return bytes(save({name: _storable(name, tensors[name]) for name in sorted(tensors)}, {_KEY: text}))


def _storable(name: str, array: Array) -> Array:
    if array.dtype not in _DTYPES.values():
        raise RequestError(f"{name!r} has dtype {array.dtype}, which is not stored; convert it to float32 or int32")
    return np.ascontiguousarray(array)


def decode(data: Any, source: str = "the data") -> tuple[dict[str, Array], Any]:
    """(tensors as views of `data`, metadata or None). Raises RequestError when `data` is truncated or foreign."""
    view = memoryview(data)
    header, start = _header(view, source)
    meta = header.pop("__metadata__", None)
    tensors = {name: _tensor(name, entry, view[start:], source) for name, entry in header.items()}
    return tensors, json.loads(meta[_KEY]) if isinstance(meta, dict) and _KEY in meta else None


def _header(view: memoryview, source: str) -> tuple[dict[str, Any], int]:
    size = int.from_bytes(view[:8], "little") if len(view) >= 8 else -1
    if not 0 < size <= min(_MAX_HEADER, len(view) - 8):
        raise RequestError(f"{source} is not a whole safetensors file; it is truncated or something else")
    try:
        header = json.loads(bytes(view[8 : 8 + size]))
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise RequestError(f"{source} is not a safetensors file: its header is not JSON")
    return header, 8 + size


def _tensor(name: str, entry: Any, data: memoryview, source: str) -> Array:
    try:
        dtype, shape, (start, stop) = _DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
        right = 0 <= start <= stop <= len(data) and math.prod(shape) * dtype.itemsize == stop - start
    except (KeyError, TypeError, ValueError):
        right = False
    if not right:
        raise RequestError(
            f"tensor {name!r} of {source} lies outside the file or has an unknown dtype; the file is damaged"
        )
    return np.frombuffer(data[start:stop], dtype=dtype).reshape(shape)


def write(path: str | Path, data: bytes) -> Path:
    """Write under a temporary name, then rename: a reader sees the old file or the whole new one."""
    path = Path(path).expanduser()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def umask() -> int:
    """What this process takes away from the permissions of new files."""
    current = os.umask(0o077)
    os.umask(current)
    return current


def read(path: str | Path) -> tuple[dict[str, Array], Any]:
    """Tensors mapped from a file, and its metadata. Raises RequestError when it is truncated or foreign."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise RequestError(f"there is no file {path}")
    if path.stat().st_size < 8:
        raise RequestError(f"{path} is not a whole safetensors file; it is truncated or something else")
    return decode(np.memmap(path, dtype=np.uint8, mode="r"), str(path))
