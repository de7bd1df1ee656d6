"""What a slice of a training has come to: how each dictionary does, and at the end the dictionaries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from . import files
from .dictionary import Dictionary
from .dictionary_object import built
from .provenance import Provenance


class Reached(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One dictionary after a slice: `seen` tokens in all; over the slice, while it learned from it, the error (FVU against the
    slice's own mean) and active latents of a row; the share of latents that are dead, and the window that this means;
    Adam's learning rate; seconds that the slice took it."""

    seen: int
    fvu: float | None
    l0: float
    dead: float
    window: int
    rate: float
    seconds: float


class TrainingMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plain part. `tokens` were in the slice; `epoch` is the worker process that holds the training; `over`: every
    dictionary has had its tokens, or the training was told to finish; `plain` is of each dictionary that is there."""

    slice: int
    tokens: int
    reached: tuple[Reached, ...]
    epoch: str
    over: bool
    provenance: Provenance
    plain: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, eq=False)
class TrainingPart:
    """Tensors "dictionary/i/NAME" when it is over, "state/i/NAME" where a checkpoint was asked for."""

    meta: TrainingMeta
    tensors: Mapping[str, files.Array]

    def dictionaries(self, made_from: Mapping[str, Any]) -> list[Dictionary]:
        """The finished dictionaries."""
        return [
            built(_under(self.tensors, f"dictionary/{i}/"), plain, made_from) for i, plain in enumerate(self.meta.plain)
        ]

    def checkpoint(self) -> bytes | None:
        """All states as one object, if they are here."""
        states = _under(self.tensors, "state/")
        return files.encode(states, {"kind": STATE, "slice": self.meta.slice}) if states else None


KIND, STATE = "training", "training_state"


def encode(part: TrainingPart) -> bytes:
    """A part as one safetensors object."""
    return files.encode(part.tensors, {"kind": KIND, **msgspec.to_builtins(part.meta)})


def decode(tensors: dict[str, files.Array], meta: Any) -> TrainingPart:
    """What `encode` made."""
    plain = msgspec.convert({k: v for k, v in meta.items() if k != "kind"}, TrainingMeta)
    return TrainingPart(plain, tensors)


def _under(tensors: Mapping[str, files.Array], prefix: str) -> dict[str, files.Array]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
