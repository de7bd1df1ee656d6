"""Texts as tokens."""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from . import files


@dataclass(frozen=True, eq=False)
class Tokenized:
    """Token ids [P] of a text and how each of them reads."""

    ids: files.Array
    tokens: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


KIND = "tokens"


def encode(texts: list[Tokenized]) -> bytes:
    """Tokenised texts as one safetensors object."""
    arrays = {f"{i}/ids": np.asarray(text.ids, np.int32) for i, text in enumerate(texts)}
    return files.encode(arrays, {"kind": KIND, "rows": [list(text.tokens) for text in texts]})


def decode(tensors: dict[str, files.Array], meta: Any) -> list[Tokenized]:
    """What `encode` made."""
    rows = msgspec.convert(meta["rows"], list[tuple[str, ...]])
    return [Tokenized(tensors[f"{i}/ids"], tokens) for i, tokens in enumerate(rows)]
