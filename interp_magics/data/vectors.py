"""Steering vectors: directions at one site, by layer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import RequestError, nearest, one_of
from ..program.language import Edit, Positions
from ..program.numbers import integer
from ..program.operations import UNITS, AblateSubspace, Clamp, Op, Stored, Unit, When
from ..program.positions import parse_positions
from ..program.sites import parse_site
from . import control_vectors, files
from .vector_edits import OPS, Condition, OpName, VectorEdit, operations
from .view import Viewed

Direction = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class SteeringVector(Viewed):
    """`directions` {layer: [d]} at `site`. In `steer=` a vector stands for `edit()`: it is added at all its layers.

    `made_from` says what it was made from: the digest of the checkpoint above all, which another checkpoint refuses.
    `shuffled` are directions of the same lengths that the same recipe found after half of the texts had changed sides.
    At `head_out` the vector is that of one `head`, [d_head].
    """

    directions: Mapping[int, Direction]
    site: str = "resid_post"
    name: str = ""
    made_from: Mapping[str, Any] = field(default_factory=dict)
    shuffled: Mapping[int, Direction] = field(default_factory=dict)
    head: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.directions, Mapping):
            raise RequestError("a steering vector is made of directions by layer, such as {4: array}")
        if not self.directions:
            raise RequestError("a steering vector needs a direction at one layer at least")
        exact = {int(layer): np.asarray(v, np.float32) for layer, v in self.directions.items()}
        control = {int(layer): np.asarray(v, np.float32) for layer, v in self.shuffled.items()}
        for layer, value in exact.items():
            if value.ndim != 1:
                raise RequestError(f"the direction at layer {layer} must be one vector, not of shape {value.shape}")
            if not np.isfinite(value).all():
                raise RequestError(f"the direction at layer {layer} has values that are not finite (NaN or infinity)")
        object.__setattr__(self, "directions", exact)
        object.__setattr__(self, "shuffled", control)
        object.__setattr__(self, "site", parse_site(self.site)[0])
        if self.head is not None:
            object.__setattr__(self, "head", integer("head", self.head))
        if (self.site == "head_out") != (self.head is not None):
            raise RequestError("at 'head_out' a vector is that of one head (head=3), and at no other site")

    def __mul__(self, factor: float) -> "SteeringVector":
        """The same directions, longer or shorter; the diagnostics are those of the fitted vector, and do not go along."""
        directions, shuffled = _scaled(self.directions, factor), _scaled(self.shuffled, factor)
        return replace(self, directions=directions, shuffled=shuffled, made_from=self._computed)

    __rmul__ = __mul__

    def __neg__(self) -> "SteeringVector":
        return self * -1.0

    def __add__(self, other: "SteeringVector") -> "SteeringVector":
        """The sum at every layer. Raises RequestError unless both are of one site, model and the same layers."""
        return _combined(self, other, 1.0, "+") if isinstance(other, SteeringVector) else NotImplemented

    def __sub__(self, other: "SteeringVector") -> "SteeringVector":
        return _combined(self, other, -1.0, "-") if isinstance(other, SteeringVector) else NotImplemented

    def unit(self) -> "SteeringVector":
        """The same directions with length 1."""
        made = {layer: value / np.linalg.norm(value) for layer, value in self.directions.items() if value.any()}
        shuffled = {layer: value / np.linalg.norm(value) for layer, value in self.shuffled.items() if value.any()}
        return replace(self, directions=made, shuffled=shuffled, made_from=self._computed)

    @property
    def _computed(self) -> dict[str, Any]:
        return {key: value for key, value in self.made_from.items() if key != "diagnostics"}

    def cosine(self, other: "SteeringVector") -> dict[int, float]:
        """The cosine of two vectors at each layer: how far one is the other under a second name."""
        _check_alike(self, other)
        pairs = ((layer, value, other.directions[layer]) for layer, value in self.directions.items())
        return {x: float(v @ w / (np.linalg.norm(v) * np.linalg.norm(w))) for x, v, w in pairs}

    def at(self, *layers: int) -> "SteeringVector":
        """The same vector at some of its layers only."""
        for layer in layers:
            if layer not in self.directions:
                raise RequestError(f"the vector has no layer {layer}{nearest(layer, self.directions)}")
        control = {layer: self.shuffled[layer] for layer in layers if layer in self.shuffled}
        return replace(self, directions={layer: self.directions[layer] for layer in layers}, shuffled=control)

    def random(self, seed: int = 0) -> "SteeringVector":
        """Directions of the same lengths drawn uniformly: what any vector would do."""
        draw = np.random.default_rng(seed)
        made = {}
        for layer, value in sorted(self.directions.items()):
            drawn = draw.standard_normal(value.shape)
            made[layer] = np.asarray(drawn * (np.linalg.norm(value) / np.linalg.norm(drawn)), np.float32)
        made_from = {"checkpoint": self.checkpoint, "random": seed}
        return SteeringVector(made, self.site, "random", made_from, head=self.head)

    def forced(self) -> "SteeringVector":
        """The same vector without the checkpoint that it was made from, so that another takes it."""
        return replace(self, made_from={**self.made_from, "checkpoint": "", "forced_from": self.checkpoint})

    @property
    def read(self) -> frozenset[str]:
        """The digests of the texts that it was fitted to, if it was fitted here."""
        return frozenset(self.made_from.get("read", ()))

    @property
    def _index(self) -> tuple[int, ...] | None:
        return None if self.head is None else (self.head,)

    @property
    def checkpoint(self) -> str:
        """The digest of the checkpoint that the vector was made from, if that is known."""
        return str(self.made_from.get("checkpoint", ""))

    def diagnostics(self) -> Any:
        """A row for each layer: length of the direction, and over the mean norm of the stream (relative_norm); d' of the two
        sides along it (separation); accuracy of a threshold half-way on texts that it was not fitted to, in 5 folds; mean
        and standard deviation of its cosine with the differences of pairs (cosine, cosine_spread)."""
        import pandas as pd

        table = self.made_from.get("diagnostics") or {}
        if not table:
            raise RequestError("the vector has no diagnostics: it was not fitted here, or was computed from others")
        found = pd.DataFrame.from_dict({int(layer): row for layer, row in table.items()}, orient="index").astype(float)
        return found.loc[[layer for layer in self.directions if layer in found.index]].rename_axis("layer")

    @cached_property
    def data(self) -> bytes:
        """The vector as a stored object."""
        arrays = {str(layer): value for layer, value in self.directions.items()}
        arrays |= {f"{_SHUFFLED}{layer}": value for layer, value in self.shuffled.items()}
        meta: dict[str, Any] = {"kind": KIND, "site": self.site, "name": self.name, "made_from": dict(self.made_from)}
        if self.head is not None:
            meta["head"] = self.head
        return files.encode(arrays, meta)

    @cached_property
    def digest(self) -> str:
        return sha256(self.data).hexdigest()

    def edit(
        self,
        scale: float = 1.0,
        op: OpName = "add",
        positions: str | int | Sequence[int] | Positions = "all",
        unit: Unit = "raw",
        rows: tuple[int, ...] | None = None,
        when: Condition | None = None,
    ) -> tuple[VectorEdit, ...]:
        """Edits of all its layers, for `steer=`; `positions` as in a lens.

        `op`: "add" (`scale` in `unit`), "add_keeping_norm" (the sum has the length of what was there), "ablate" (the part
        along the vector is taken away), or "ablate_then_add" (so that what was there along it does not count).
        `when` (see `above`) restricts them to rows or positions that meet a condition.
        """
        op, unit = one_of("op", op, OPS), one_of("unit", unit, UNITS)
        return self._edits(lambda vector: operations(op, vector, float(scale), unit), positions, rows, when)

    def clamp(
        self,
        low: float | None = None,
        high: float | None = None,
        positions: str | int | Sequence[int] | Positions = "all",
        when: Condition | None = None,
    ) -> tuple[VectorEdit, ...]:
        """Edits that keep the stream's coordinate along the vector, x . v / |v|, within [low, high]; an absent bound is open."""
        return self._edits(lambda vector: (Clamp(vector, low, high),), positions, None, when)

    def _edits(
        self,
        made: Callable[[Stored], tuple[Op, ...]],
        positions: str | int | Sequence[int] | Positions,
        rows: tuple[int, ...] | None,
        when: Condition | None,
    ) -> tuple[VectorEdit, ...]:
        named = (self,) if when is None else (self, when.vector)
        condition, places = None if when is None else when.when, parse_positions(positions)
        return tuple(
            VectorEdit(Edit(self.site, layer, operation, places, rows, self._index, condition), named)
            for layer in sorted(self.directions)
            for operation in made(Stored(self.digest, str(layer)))
        )

    def above(
        self,
        threshold: float,
        layer: int | None = None,
        check: Literal["token", "prefill"] = "token",
        measure: Literal["coordinate", "cosine"] = "coordinate",
    ) -> Condition:
        """A condition for `edit(when=…)`: the stream at `layer` lies further along this vector than `threshold`.

        `check` "token" asks it at every position, of that position; "prefill" once, of the last position of the prompt, for
        that one and all that are generated. `measure` "coordinate" is x . v / |v|, "cosine" that over |x|. For "below" take
        (-vector).above(-threshold). The layer must come before the one that is edited. Raises RequestError.
        """
        if self.head is not None:
            raise RequestError("a condition looks at a site as wide as the stream, not at one head")
        chosen = self if layer is None else self.at(layer)
        if len(chosen.directions) != 1:
            raise RequestError(
                f"a condition looks at one layer, the vector has {len(chosen.directions)}; name it with layer="
            )
        (only,) = chosen.directions
        when = When(self.site, only, Stored(chosen.digest, str(only)), float(threshold), check, measure)
        return Condition(when, chosen)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file that `interp_magics.load` reads."""
        return files.write(path, self.data)

    def to_gguf(self, path: str | Path, model_hint: str = "") -> Path:
        """Write a control vector for llama.cpp (`resid_post`, layers from 1 on; without a scale: give it there). `model_hint`
        is the architecture by llama.cpp's name, such as "llama". `interp_magics.load` reads it. Raises RequestError."""
        return control_vectors.write(path, self, model_hint)

    def __repr__(self) -> str:
        layers = ", ".join(str(layer) for layer in sorted(self.directions))
        head = "" if self.head is None else f" of head {self.head}"
        return f"SteeringVector({self.name or 'unnamed'!r}, {self.site}{head}, layers {layers})"


def ablate_subspace(
    vectors: Sequence[SteeringVector], positions: str | int | Sequence[int] | Positions = "all"
) -> tuple[VectorEdit, ...]:
    """Edits that take away all that several vectors span, at every layer that they have. Raises RequestError unless they are
    of one site, model and the same layers."""
    if not vectors:
        raise RequestError("ablate_subspace needs one vector at least")
    first, places = vectors[0], parse_positions(positions)
    for other in vectors[1:]:
        _check_alike(first, other)
    made = []
    for layer in sorted(first.directions):
        named = tuple(Stored(vector.digest, str(layer)) for vector in vectors)
        made.append(
            VectorEdit(Edit(first.site, layer, AblateSubspace(named), places, None, first._index), tuple(vectors))
        )
    return tuple(made)


KIND = "vector"
_SHUFFLED = "shuffled."


def decode(tensors: dict[str, files.Array], meta: Any) -> SteeringVector:
    """What `SteeringVector.save` wrote."""
    directions = {int(name): np.array(value) for name, value in tensors.items() if not name.startswith(_SHUFFLED)}
    shuffled = {
        int(name.removeprefix(_SHUFFLED)): np.array(value)
        for name, value in tensors.items()
        if name.startswith(_SHUFFLED)
    }
    return SteeringVector(directions, meta["site"], meta["name"], meta["made_from"], shuffled, meta.get("head"))


def _scaled(directions: Mapping[int, Direction], factor: float) -> dict[int, Direction]:
    return {layer: value * np.float32(factor) for layer, value in directions.items()}


def _combined(one: SteeringVector, other: SteeringVector, factor: float, sign: str) -> SteeringVector:
    _check_alike(one, other)
    summed = {layer: value + np.float32(factor) * other.directions[layer] for layer, value in one.directions.items()}
    name = f"{one.name or 'unnamed'}{sign}{other.name or 'unnamed'}"
    made_from: dict[str, Any] = {"checkpoint": one.checkpoint or other.checkpoint, "computed": name}
    made_from["read"] = sorted(one.read | other.read)
    return SteeringVector(summed, one.site, name, made_from, head=one.head)


def _check_alike(one: SteeringVector, other: SteeringVector) -> None:
    if (one.site, one.head) != (other.site, other.head):
        sites = (f"{each.site!r}" + ("" if each.head is None else f" of head {each.head}") for each in (one, other))
        raise RequestError("one vector is of {}, the other of {}".format(*sites))
    if one.checkpoint and other.checkpoint and one.checkpoint != other.checkpoint:
        raise RequestError(f"the vectors are of two models ({one.checkpoint[:12]} and {other.checkpoint[:12]})")
    if set(one.directions) != set(other.directions):
        raise RequestError("the vectors have different layers; choose those that both have with at(…)")
