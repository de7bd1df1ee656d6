"""Edits under a name, in one file with all that they name: what a served model can be asked to run under."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..errors import RequestError
from ..program.language import Edit, digests
from ..program.operations import Copy
from . import files
from .vector_edits import StoredObject, VectorEdit

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class InterventionMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plain part: `model` is the name and `checkpoint` the digest of the model that it was made for; `objects` names the
    objects in the order of their digests."""

    name: str
    model: str
    checkpoint: str
    edits: tuple[Edit, ...]
    objects: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Intervention:
    """Edits that go together; `steer=` takes it. `id` is its name with the first 12 digits of the digest of its bytes, so that
    another version of the same name is another id."""

    meta: InterventionMeta
    tensors: dict[str, files.Array]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.meta.name):
            raise RequestError(
                f"{self.meta.name!r} is no name of an intervention; use a letter or digit, then up to 63 of a-z 0-9 . _ -"
            )
        if not self.meta.edits:
            raise RequestError(f"the intervention {self.meta.name!r} does nothing; give vectors or edits")
        if any(edit.rows is not None or isinstance(edit.op, Copy) for edit in self.meta.edits):
            raise RequestError(
                f"the intervention {self.meta.name!r} names rows, which those who ask under it know nothing of"
            )
        named, there = digests(self.meta.edits), {digest for digest, _ in self.meta.objects}
        wrong = [d for d in sorted(there) if d not in self.tensors or _digest(self.tensors[d]) != d]
        if named != there or wrong:
            raise RequestError(
                f"the intervention {self.meta.name!r} is not whole: its objects are not those that it names"
            )

    @property
    def name(self) -> str:
        return self.meta.name

    @property
    def data(self) -> bytes:
        """The file."""
        return files.encode(self.tensors, {"kind": KIND, "meta": msgspec.to_builtins(self.meta)})

    @property
    def id(self) -> str:
        return f"{self.name}@{hashlib.sha256(self.data).hexdigest()[:12]}"

    def edit(self) -> tuple[VectorEdit, ...]:
        """Its edits, for `steer=`."""
        known = {digest: self._object(digest, name) for digest, name in self.meta.objects}
        return tuple(
            VectorEdit(edit, tuple(known[digest] for digest in sorted(digests(edit)))) for edit in self.meta.edits
        )

    def _object(self, digest: str, name: str) -> StoredObject:
        made_from = {"model": self.meta.model}
        return StoredObject(name, digest, self.tensors[digest].tobytes(), self.meta.checkpoint, made_from)

    def save(self, path: str | Path) -> Path:
        """Write a file that `interp_magics.load` reads."""
        return files.write(path, self.data)

    def __repr__(self) -> str:
        sites = ", ".join(dict.fromkeys(f"{edit.site}[{edit.layer}]" for edit in self.meta.edits))
        return f"Intervention({self.id!r}, on {self.meta.model}: {sites})"


KIND = "intervention"


def made(meta: InterventionMeta, objects: dict[str, bytes]) -> Intervention:
    """An intervention of edits and the objects that they name."""
    return Intervention(meta, {digest: np.frombuffer(data, np.uint8) for digest, data in objects.items()})


def decode(tensors: dict[str, files.Array], meta: Any) -> Intervention:
    """What `data` is. Raises RequestError when it is not whole."""
    try:
        return Intervention(msgspec.convert(meta["meta"], InterventionMeta), tensors)
    except (msgspec.ValidationError, KeyError) as error:
        raise RequestError(f"the intervention cannot be read: {error}") from error


def _digest(data: files.Array) -> str:
    return hashlib.sha256(data.tobytes()).hexdigest()
