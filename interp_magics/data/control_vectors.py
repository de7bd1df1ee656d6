"""Steering vectors as llama.cpp has them: GGUF files of architecture `controlvector`, with one direction for each layer.

llama.cpp adds direction.L to the stream after block L, as `resid_post` is here, and has none for block 0.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RequestError

if TYPE_CHECKING:
    from .vectors import SteeringVector

SUFFIX = ".gguf"
_ARCHITECTURE, _HINT, _LAYERS = "controlvector", "controlvector.model_hint", "controlvector.layer_count"
_DIRECTION = "direction."


def write(path: str | Path, vector: "SteeringVector", model_hint: str) -> Path:
    """Write a vector of `resid_post` at layers from 1 on. Raises RequestError for one that llama.cpp could not apply."""
    if vector.site != "resid_post":
        raise RequestError(f"llama.cpp adds vectors at 'resid_post', not at {vector.site!r}")
    if 0 in vector.directions:
        raise RequestError("llama.cpp adds nothing after block 0; choose later layers with at(…)")
    target = Path(path).expanduser()
    made = _library().GGUFWriter(target, _ARCHITECTURE)
    made.add_string(_HINT, model_hint)
    made.add_uint32(_LAYERS, len(vector.directions))
    for layer, direction in sorted(vector.directions.items()):
        made.add_tensor(f"{_DIRECTION}{layer}", direction)
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()
    return target


def read(path: str | Path) -> "SteeringVector":
    """The vector of a file. It names no checkpoint, so every model of its width takes it. Raises RequestError for a file
    that holds none."""
    from .vectors import SteeringVector

    file = Path(path).expanduser()
    if not file.is_file():
        raise RequestError(f"there is no file {file}")
    try:
        found = _library().GGUFReader(file)
        architecture, hint = (_text(found, name) for name in ("general.architecture", _HINT))
        directions = {_layer(one.name): np.array(one.data, np.float32) for one in found.tensors}
    except (ValueError, KeyError, IndexError, OverflowError, TypeError) as error:
        raise RequestError(f"{file.name} is no control vector: {error}") from None
    if architecture != _ARCHITECTURE or not directions:
        raise RequestError(f"{file.name} is no control vector but {architecture or 'of an unknown architecture'}")
    return SteeringVector(directions, "resid_post", file.stem, {"model_hint": hint, "read_from": file.name})


def _text(found: Any, name: str) -> str:
    field = found.get_field(name)
    return "" if field is None else bytes(field.parts[-1]).decode("utf-8", "replace")


def _layer(name: str) -> int:
    if not name.startswith(_DIRECTION):
        raise ValueError(f"it has a tensor {name!r}")
    return int(name.removeprefix(_DIRECTION))


def _library() -> Any:
    try:
        import gguf
    except ImportError:
        raise RequestError("GGUF files need the package gguf: pip install 'interp-magics[gguf]'") from None
    return gguf
