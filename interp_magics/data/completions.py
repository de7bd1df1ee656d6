"""Generated texts."""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from . import files
from .provenance import Provenance
from .view import Viewed


class CompletionMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plain part of a completion: `row` is its number in the call, `finish` "length" or "stop"."""

    row: int
    prompt: str
    text: str
    finish: str
    prompt_length: int
    provenance: Provenance


@dataclass(frozen=True, eq=False, repr=False)
class Completion(Viewed):
    """One completion: `text` without special tokens; `token_ids` [P + N - 1] were read, `completion_ids` [N] sampled."""

    meta: CompletionMeta
    token_ids: files.Array
    completion_ids: files.Array

    @property
    def prompt(self) -> str:
        return self.meta.prompt

    @property
    def text(self) -> str:
        return self.meta.text

    @property
    def finish(self) -> str:
        return self.meta.finish

    @property
    def provenance(self) -> Provenance:
        return self.meta.provenance

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Completion({self.text!r}, finish={self.finish!r})"


KIND = "completions"


def encode(completions: list[Completion]) -> bytes:
    """Completions as one safetensors object."""
    arrays = {}
    for i, one in enumerate(completions):
        arrays[f"{i}/token_ids"] = np.asarray(one.token_ids, np.int32)
        arrays[f"{i}/completion_ids"] = np.asarray(one.completion_ids, np.int32)
    return files.encode(arrays, {"kind": KIND, "rows": msgspec.to_builtins([c.meta for c in completions])})


def decode(tensors: dict[str, files.Array], meta: Any) -> list[Completion]:
    """What `encode` made."""
    metas = msgspec.convert(meta["rows"], list[CompletionMeta])
    return [Completion(m, tensors[f"{i}/token_ids"], tensors[f"{i}/completion_ids"]) for i, m in enumerate(metas)]
