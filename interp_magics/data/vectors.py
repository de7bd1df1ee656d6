"""Steering vectors: directions at one site, by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import RequestError, nearest
from ..program.language import Ablate, Add, Edit, Positions, Stored
from ..program.positions import parse_positions
from ..program.sites import parse_site
from . import files

_OPS, _UNITS = ("add", "ablate"), ("raw", "stream")

Direction = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SteeringVector:
    """`directions` {layer: [d]} at `site`. In `steer=` a vector stands for `edit()`: it is added at all its layers."""

    directions: Mapping[int, Direction]
    site: str = "resid_post"
    name: str = ""
    made_from: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.directions, Mapping):
            raise RequestError("a steering vector is made of directions by layer, such as {4: array}")
        if not self.directions:
            raise RequestError("a steering vector needs a direction at one layer at least")
        exact = {int(layer): np.asarray(v, np.float32) for layer, v in self.directions.items()}
        for layer, value in exact.items():
            if value.ndim != 1:
                raise RequestError(f"the direction at layer {layer} must be one vector, not of shape {value.shape}")
            if not np.isfinite(value).all():
                raise RequestError(f"the direction at layer {layer} has values that are not finite (NaN or infinity)")
        object.__setattr__(self, "directions", exact)
        object.__setattr__(self, "site", parse_site(self.site)[0])

    def __mul__(self, factor: float) -> "SteeringVector":
        return replace(self, directions={layer: v * np.float32(factor) for layer, v in self.directions.items()})

    __rmul__ = __mul__

    def __neg__(self) -> "SteeringVector":
        return self * -1.0

    def at(self, *layers: int) -> "SteeringVector":
        """The same vector at some of its layers only."""
        for layer in layers:
            if layer not in self.directions:
                raise RequestError(f"the vector has no layer {layer}{nearest(layer, self.directions)}")
        return replace(self, directions={layer: self.directions[layer] for layer in layers})

    @cached_property
    def data(self) -> bytes:
        """The vector as a stored object."""
        arrays = {str(layer): value for layer, value in self.directions.items()}
        meta = {"kind": KIND, "site": self.site, "name": self.name, "made_from": dict(self.made_from)}
        return files.encode(arrays, meta)

    @cached_property
    def digest(self) -> str:
        return sha256(self.data).hexdigest()

    def edit(
        self,
        scale: float = 1.0,
        op: Literal["add", "ablate"] = "add",
        positions: str | int | Sequence[int] | Positions = "all",
        unit: Literal["raw", "stream"] = "raw",
        rows: tuple[int, ...] | None = None,
    ) -> tuple["VectorEdit", ...]:
        """Edits of all its layers, for `steer=`; `op` "add" (`scale` in `unit`) or "ablate", `positions` as in a lens."""
        if op not in _OPS:
            raise RequestError(f"unknown op {op!r}{nearest(op, _OPS)}")
        if unit not in _UNITS:
            raise RequestError(f"unknown unit {unit!r}{nearest(unit, _UNITS)}")
        places = parse_positions(positions)
        made = []
        for layer in sorted(self.directions):
            stored = Stored(self.digest, str(layer))
            operation = Add(stored, float(scale), unit) if op == "add" else Ablate(stored)
            made.append(VectorEdit(Edit(self.site, layer, operation, places, rows), self))
        return tuple(made)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file that `interp_magics.load` reads."""
        return files.write(path, self.data)

    def __repr__(self) -> str:
        layers = ", ".join(str(layer) for layer in sorted(self.directions))
        return f"SteeringVector({self.name or 'unnamed'!r}, {self.site}, layers {layers})"


@dataclass(frozen=True)
class VectorEdit:
    """An edit together with the vector that it names, so that the vector can be stored before it is used."""

    edit: Edit
    vector: SteeringVector


KIND = "vector"


def decode(tensors: dict[str, files.Array], meta: Any) -> SteeringVector:
    """What `SteeringVector.save` wrote."""
    directions = {int(layer): np.array(value) for layer, value in tensors.items()}
    return SteeringVector(directions, meta["site"], meta["name"], meta["made_from"])
