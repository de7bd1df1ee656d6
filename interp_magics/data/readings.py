"""What a program written by hand gave."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ..errors import RequestError
from . import files
from .provenance import Provenance


class RowInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a program, its texts without special tokens."""

    prompt_length: int
    completion: str
    finish: str
    prompt: str = ""


class ReadingsMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plain part of a program's result."""

    rows: tuple[RowInfo, ...]
    provenance: Provenance


@dataclass(frozen=True, eq=False)
class Readings:
    """The result of a program: `read(stage, tap, row)` gives a tap's arrays by name, such as values or top_ids."""

    meta: ReadingsMeta
    tensors: Mapping[str, files.Array]

    def read(self, stage: int = 0, tap: int = 0, row: int = 0) -> dict[str, files.Array]:
        """Arrays of one tap for one row, [layers, positions, ...], and `positions` [T].

        `tap` counts those that reduce. Raises RequestError when the program has no such tap or the tap not that row.
        """
        return self._under(f"{stage}/{tap}/{row}/", f"stage {stage}, tap {tap}, row {row}")

    def _under(self, start: str, what: str) -> dict[str, files.Array]:
        """Arrays whose names begin with `start`, without it. Raises RequestError naming `what` when there is none."""
        found = {key[len(start) :]: value for key, value in self.tensors.items() if key.startswith(start)}
        if not found:
            raise RequestError(f"the program has no reading of {what}")
        return found

    def gradient(self, stage: int = 0, gradient: int = 0, tap: int = 0, row: int = 0) -> dict[str, files.Array]:
        """Arrays of one tap of a gradient for one row: the derivative [layers, positions, ...], or what it reduces to."""
        return self._under(f"gradients/{stage}/{gradient}/{tap}/{row}/", f"gradient {gradient} of stage {stage}")

    def metric(self, stage: int = 0, gradient: int = 0) -> files.Array:
        """What a gradient differentiates, for each row of its stage."""
        return self._under(f"gradients/{stage}/{gradient}/metric", f"gradient {gradient} of stage {stage}")[""]

    def token_ids(self, row: int = 0) -> files.Array:
        """The tokens of a row that were read."""
        return self.tensors[f"rows/{row}/token_ids"]

    def completion_ids(self, row: int = 0) -> files.Array:
        """The tokens of a row that were sampled."""
        return self.tensors[f"rows/{row}/completion_ids"]


KIND = "readings"


def encode(readings: Readings) -> bytes:
    """A program's result as one safetensors object."""
    return files.encode(readings.tensors, {"kind": KIND, "meta": msgspec.to_builtins(readings.meta)})


def decode(tensors: dict[str, files.Array], meta: Any) -> Readings:
    """What `encode` made."""
    return Readings(msgspec.convert(meta["meta"], ReadingsMeta), tensors)
