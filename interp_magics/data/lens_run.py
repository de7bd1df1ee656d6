"""What a lens gave for one text."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import RequestError, nearest
from ..program.handles import Handle
from . import files
from .provenance import Provenance
from .view import Viewed

if TYPE_CHECKING:
    import pandas as pd

    from .lens_difference import LensDifference

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


class LensMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plain part of a run: `row` is its number among the texts of the call, `text` what was read, without
    special tokens; `strings` reads every token id in it; `handle` finds its rows on the worker while they are kept; `depth` is
    how many layers the model has (0: not known)."""

    kind: str
    layers: tuple[int, ...]
    sites: tuple[str, ...]
    row: int
    prompt_length: int
    text: str
    completion: str
    finish: str
    vocabulary: int
    strings: dict[int, str]
    provenance: Provenance
    handle: Handle | None = None
    depth: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class LensRun(Viewed):
    """Top tokens, log-probabilities and statistics for sites S, layers L, positions T and k tokens.

    `token_ids` [R] are all tokens that were read (R = P + N - 1); `positions` [T] says which of them were decoded.
    Log-probabilities are natural and over the whole vocabulary; entropy and `kl_final`, KL(final || here), are in nats.
    Ranks are 0-based: how many tokens lie strictly above.
    """

    meta: LensMeta
    token_ids: Ints
    positions: Ints
    completion_ids: Ints
    top_ids: Ints
    top_logprobs: Floats
    entropy: Floats | None
    kl_final: Floats | None
    tracked_ids: Ints
    tracked_logprobs: Floats
    tracked_ranks: Ints

    @property
    def layers(self) -> tuple[int, ...]:
        return self.meta.layers

    @property
    def sites(self) -> tuple[str, ...]:
        return self.meta.sites

    @property
    def completion(self) -> str:
        """The generated text, without special tokens."""
        return self.meta.completion

    @property
    def provenance(self) -> Provenance:
        return self.meta.provenance

    @property
    def handle(self) -> Handle | None:
        """Where a worker holds the rows of the run, if the call asked it to keep them."""
        return self.meta.handle

    @cached_property
    def tokens(self) -> list[str]:
        """The text of each token that was read."""
        return [self.token(int(i)) for i in self.token_ids]

    def token(self, token_id: int) -> str:
        """The text of a token id that occurs in the run."""
        return self.meta.strings.get(int(token_id), f"<id {int(token_id)}>")

    def site_index(self, site: str) -> int:
        """Place of a site on the first axis. Raises RequestError when it was not decoded."""
        if site not in self.sites:
            raise RequestError(f"site {site!r} was not decoded{nearest(site, self.sites)}")
        return self.sites.index(site)

    def to_pandas(self) -> "pd.DataFrame":
        """One row per site, layer, position and place in the top-k; two columns for each tracked token."""
        import pandas as pd

        shape = self.top_ids.shape
        site, layer, place, order = (axis.ravel() for axis in np.indices(shape))
        frame = pd.DataFrame(
            {
                "site": np.array(self.sites)[site],
                "layer": np.array(self.layers)[layer],
                "position": self.positions[place],
                "token": np.array(self.tokens, dtype=object)[self.positions[place]],
                "order": order,
                "top_id": self.top_ids.ravel(),
                "top_token": [self.token(int(i)) for i in self.top_ids.ravel()],
                "logprob": self.top_logprobs.ravel(),
            }
        )
        for name in ("entropy", "kl_final"):
            values = getattr(self, name)
            if values is not None:
                frame[name] = np.repeat(values.ravel(), shape[-1])
        for column, token in enumerate(self.tracked_ids):
            for name, values in (("logprob", self.tracked_logprobs), ("rank", self.tracked_ranks)):
                frame[f"{name} of {self.token(int(token))!r}"] = np.repeat(values[..., column].ravel(), shape[-1])
        return frame

    def minus(self, base: "LensRun") -> "LensDifference":
        """How this run differs from another, cell by cell; see `interp_magics.data.lens_difference`. Raises RequestError."""
        from .lens_difference import difference

        return difference(self, base)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file that `interp_magics.load` reads."""
        return files.write(path, encode([self]))

    def __repr__(self) -> str:
        site, layers, positions, k = self.top_ids.shape
        what = f"{site} site{'s' * (site > 1)} x {layers} layers x {positions} positions, top {k}"
        return f"LensRun({self.provenance.model!r}, {what}, {len(self.token_ids)} tokens)"


def extended(run: LensRun, more: LensRun) -> LensRun:
    """A run with the positions of a later part of it; what it had of them already is replaced."""
    known = int(np.searchsorted(run.positions, more.positions[0])) if len(more.positions) else len(run.positions)
    meta = msgspec.structs.replace(more.meta, strings={**run.meta.strings, **more.meta.strings})
    by_position = {"positions": 0} | dict.fromkeys(_BY_POSITION, 2)
    arrays = {}
    for name in _ARRAYS:
        before, after = getattr(run, name), getattr(more, name)
        joins = name in by_position and before is not None
        if joins:
            kept = before[:known] if by_position[name] == 0 else before[:, :, :known]
            arrays[name] = np.concatenate([kept, after], by_position[name])
        else:
            arrays[name] = after
    return LensRun(meta, **arrays)


class LensRuns(Viewed, list[LensRun]):
    """Runs of several texts, in order: a list that shows itself."""

    def __str__(self) -> str:
        return "\n\n".join(str(run) for run in self)


_BY_POSITION = ("top_ids", "top_logprobs", "entropy", "kl_final", "tracked_logprobs", "tracked_ranks")
_ARRAYS = tuple(name for name in LensRun.__dataclass_fields__ if name != "meta")
KIND = "lens"


def encode(runs: list[LensRun]) -> bytes:
    """Runs as one safetensors object."""
    arrays = {
        f"{i}/{name}": value
        for i, run in enumerate(runs)
        for name in _ARRAYS
        if (value := getattr(run, name)) is not None
    }
    metas = msgspec.to_builtins([run.meta for run in runs], str_keys=True)
    return files.encode(arrays, {"kind": KIND, "rows": metas})


def decode(tensors: dict[str, files.Array], meta: Any) -> LensRuns:
    """What `encode` made."""
    metas = msgspec.convert(meta["rows"], list[LensMeta], strict=False)
    arrays: list[dict[str, Any]] = [{n: tensors.get(f"{i}/{n}") for n in _ARRAYS} for i in range(len(metas))]
    return LensRuns(LensRun(meta, **named) for meta, named in zip(metas, arrays, strict=True))
