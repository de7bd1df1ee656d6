"""Captured activations: values by site, layer and row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..errors import RequestError, nearest
from ..program.handles import Handle
from ..program.sites import parse_site
from . import files
from .provenance import Provenance
from .view import Viewed

if TYPE_CHECKING:
    import pandas as pd


class RowMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One captured text; `row` is its number among the texts of the call; `handle` finds it on the worker while it is
    kept."""

    row: int
    prompt_length: int
    completion: str
    finish: str
    handle: Handle | None = None


class ActivationsMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plain part of a capture: the layers of each site; `reduce` names what was kept instead of values."""

    layers: dict[str, tuple[int, ...]]
    rows: tuple[RowMeta, ...]
    reduce: str | None
    strings: dict[int, str]
    provenance: Provenance


@dataclass(frozen=True, eq=False)
class ActivationRow:
    """One text of a capture: all tokens that were read, which positions were kept, and what was generated."""

    meta: RowMeta
    token_ids: files.Array
    positions: files.Array
    completion_ids: files.Array

    @property
    def completion(self) -> str:
        return self.meta.completion


@dataclass(frozen=True, eq=False, repr=False)
class Activations(Viewed):
    """Values at `sites` of every row, read with `array(site, layer, row)`; tensors lie as [layers, positions, ...]."""

    meta: ActivationsMeta
    tensors: Mapping[str, files.Array]

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(self.meta.layers)

    @property
    def provenance(self) -> Provenance:
        return self.meta.provenance

    @property
    def rows(self) -> list[ActivationRow]:
        names = ("token_ids", "positions", "completion_ids")
        return [
            ActivationRow(meta, *(self.tensors[f"{i}/{name}"] for name in names))
            for i, meta in enumerate(self.meta.rows)
        ]

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in self.tensors.values())

    def tokens(self, row: int = 0) -> list[str]:
        """The text of each token of a row."""
        return [self.meta.strings.get(int(i), f"<id {int(i)}>") for i in self.tensors[f"{row}/token_ids"]]

    def array(self, site: str, layer: int | None = None, row: int = 0, statistic: str = "values") -> files.Array:
        """Values [T, ...] of a site at one layer; without `layer`, of all its layers [L, T, ...].

        After a capture with reduce="moments", `statistic` is mean, variance or norm, and there is no axis T.
        """
        name, named = parse_site(site)
        layer = named if layer is None else layer
        if name not in self.meta.layers:
            raise RequestError(f"site {site!r} was not captured{nearest(name, self.sites)}")
        if not 0 <= row < len(self.meta.rows):
            raise RequestError(f"row {row} does not exist: the capture has {len(self.meta.rows)}")
        key = f"{row}/{name}/{statistic}"
        if key not in self.tensors:
            have = sorted(k.rsplit("/", 1)[1] for k in self.tensors if k.startswith(f"{row}/{name}/"))
            raise RequestError(f"the capture has no {statistic!r}{nearest(statistic, have)}")
        values = self.tensors[key]
        return values if layer is None else values[self._layer_index(name, layer)]

    def _layer_index(self, site: str, layer: int) -> int:
        layers = self.meta.layers[site]
        wanted = layer if layer >= 0 else layers[-1] + 1 + layer
        if wanted not in layers:
            raise RequestError(f"layer {layer} of {site!r} was not captured{nearest(layer, layers)}")
        return layers.index(wanted)

    def to_pandas(self) -> "pd.DataFrame":
        """The norm of every captured value: one line per row, site, layer and position."""
        import pandas as pd

        if self.meta.reduce:
            raise RequestError(f"a capture reduced to {self.meta.reduce} has no value per position; use array()")
        frames = []
        for i, row in enumerate(self.rows):
            texts = np.array(self.tokens(i), dtype=object)[row.positions]
            for site, layers in self.meta.layers.items():
                values = self.array(site, row=i).astype(np.float32)
                norms = np.sqrt((values.reshape(*values.shape[:2], -1) ** 2).sum(-1))
                lines = {"row": i, "site": site, "layer": np.repeat(layers, norms.shape[1])}
                lines |= {"position": np.tile(row.positions, len(layers)), "token": np.tile(texts, len(layers))}
                frames.append(pd.DataFrame({**lines, "norm": norms.ravel()}))
        return pd.concat(frames, ignore_index=True)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file that `interp_magics.load` reads."""
        return files.write(path, encode(self))

    def __repr__(self) -> str:
        sites = ", ".join(f"{site}[{len(layers)}]" for site, layers in self.meta.layers.items())
        size = f"{self.nbytes / 1e6:.1f} MB" if self.nbytes >= 1e6 else f"{self.nbytes / 1e3:.1f} kB"
        rows = f"{len(self.meta.rows)} row{'s' * (len(self.meta.rows) != 1)}"
        return f"Activations({self.provenance.model!r}, {rows}, {sites}, {size})"


KIND = "activations"


def encode(activations: Activations) -> bytes:
    """A capture as one safetensors object."""
    meta = msgspec.to_builtins(activations.meta, str_keys=True)
    return files.encode(activations.tensors, {"kind": KIND, "meta": meta})


def merge(parts: Sequence[Activations]) -> Activations:
    """Captures of consecutive slices of a call as that of the call."""
    tensors: dict[str, files.Array] = {}
    before = 0
    for part in parts:
        for name, tensor in part.tensors.items():
            row, _, what = name.partition("/")
            tensors[f"{before + int(row)}/{what}"] = tensor
        before += len(part.meta.rows)
    first = parts[0].meta
    texts = [text for part in parts for text in part.provenance.request["texts"]]
    meta = msgspec.structs.replace(
        first,
        rows=tuple(row for part in parts for row in part.meta.rows),
        strings={token: text for part in parts for token, text in part.meta.strings.items()},
        provenance=msgspec.structs.replace(first.provenance, request={**first.provenance.request, "texts": texts}),
    )
    return Activations(meta, tensors)


def decode(tensors: dict[str, files.Array], meta: Any) -> Activations:
    """What `encode` made."""
    return Activations(msgspec.convert(meta["meta"], ActivationsMeta, strict=False), tensors)
