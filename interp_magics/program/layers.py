"""Layer specifications: what a user writes for a choice of layers."""

import re
from collections.abc import Iterable

from ..errors import RequestError

LayerSpec = int | str | slice | Iterable[int] | None

_INTEGER = re.compile(r"^[+-]?\d+$")


def parse_layers(spec: LayerSpec, count: int) -> tuple[int, ...]:
    """Layers of a model of `count` blocks, in the order written, without repeats.

    `spec` is None (all), an int, ints, a slice, or text of items joined by commas, each an index or a Python slice:
    `0,4,8:`, `-1`, `::4`. Negative numbers count from the last layer. Raises RequestError for anything else.
    """
    if spec is None:
        return tuple(range(count))
    if isinstance(spec, slice):
        return tuple(range(count))[spec]
    chosen = [layer for item in _items(spec) for layer in _item(item, count)]
    if not chosen:
        raise RequestError(
            f"layers {spec!r} choose none of the model's {count} layers; write for example '::4' or '0,-1'"
        )
    return tuple(dict.fromkeys(chosen))


def _items(spec: object) -> Iterable[object]:
    if isinstance(spec, str):
        return spec.split(",")
    return spec if isinstance(spec, Iterable) else [spec]


def _item(item: object, count: int) -> Iterable[int]:
    if isinstance(item, str) and ":" in item:
        return _slice(item.strip(), count)
    if isinstance(item, bool) or not (
        hasattr(item, "__index__") or (isinstance(item, str) and _INTEGER.match(item.strip()))
    ):
        raise RequestError(f"{item!r} is not a layer; write an index such as 4 or -1, or a slice such as '8:' or '::4'")
    index = int(item)
    if not -count <= index < count:
        raise RequestError(f"layer {index} does not exist: the model has layers 0 to {count - 1} (or -{count} to -1)")
    return (index % count,)


def _slice(text: str, count: int) -> Iterable[int]:
    parts = text.split(":")
    if len(parts) > 3 or any(p.strip() and not _INTEGER.match(p.strip()) for p in parts):
        raise RequestError(
            f"{text!r} is not a slice of layers; write start:stop or start:stop:step, such as '4:' or '::2'"
        )
    start, stop, step = ((int(p) if p.strip() else None) for p in [*parts, ""][:3])
    if step == 0:
        raise RequestError(f"the step of {text!r} must not be 0")
    for bound in (start, stop):
        if bound is not None and not -count <= bound <= count:
            raise RequestError(f"{text!r} reaches outside the model's {count} layers (0 to {count - 1})")
    return range(count)[start:stop:step]
