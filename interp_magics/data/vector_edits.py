"""What a steering vector stands for in `steer=`: edits together with the vectors that they name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from ..program.language import Edit
from ..program.operations import Ablate, Add, AddKeepingNorm, Op, Stored, Unit, When

if TYPE_CHECKING:
    from .vectors import SteeringVector

OpName = Literal["add", "add_keeping_norm", "ablate", "ablate_then_add"]
OPS: tuple[OpName, ...] = get_args(OpName)


class Storable(Protocol):
    """What an edit names and a pool must have: a steering vector, or a dictionary. `checkpoint` is that of its model."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def data(self) -> bytes: ...

    @property
    def checkpoint(self) -> str: ...

    @property
    def made_from(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class StoredObject:
    """An object as bytes, with what must be known of it."""

    name: str
    digest: str
    data: bytes
    checkpoint: str
    made_from: Mapping[str, Any]


@dataclass(frozen=True)
class VectorEdit:
    """An edit together with the vectors that it names, so that they can be stored before they are used."""

    edit: Edit
    vectors: tuple[Storable, ...]


@dataclass(frozen=True)
class Condition:
    """What must hold for an edit, and the vector that it looks along."""

    when: When
    vector: "SteeringVector"


def operations(op: OpName, vector: Stored, scale: float, unit: Unit) -> tuple[Op, ...]:
    """The operations of an op by its name."""
    if op == "ablate":
        return (Ablate(vector),)
    if op == "add_keeping_norm":
        return (AddKeepingNorm(vector, scale, unit),)
    added = Add(vector, scale, unit)
    return (Ablate(vector), added) if op == "ablate_then_add" else (added,)
