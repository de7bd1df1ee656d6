"""Sparse dictionaries: what a sparse autoencoder or a transcoder computes, from its weights; plain arrays.

With x an activation, s a scale of the inputs and sigma the architecture's activation function
    h = (s x - b_dec if `subtract_b_dec`) W_enc + b_enc,  f = sigma(h),  x^ = (f W_dec + b_dec + s x W_skip) / s_out.
relu: max(h, 0). jumprelu: h where h > threshold, else 0 (Rajamanoharan et al. 2024, arXiv:2407.14435). topk: the k largest of
max(h, 0) (Gao et al. 2024, arXiv:2406.04093), ranked by what they add where `rank_by_norm`. gated: (h W_gate > 0) times the
magnitude (arXiv:2404.16014). Names and shapes are those of SAELens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import RequestError, one_of
from ..program.language import Edit, Positions
from ..program.numbers import integer
from ..program.operations import ClampLatent, Hold, Splice, Stored, StoredDictionary
from ..program.positions import parse_positions
from .vector_edits import StoredObject, VectorEdit
from .vectors import SteeringVector
from .view import Viewed

Array = npt.NDArray[np.float32]
Architecture = Literal["relu", "jumprelu", "topk", "gated"]
Normalize = Literal["none", "layer_norm", "constant_norm"]

WEIGHTS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold", "b_gate", "b_mag", "r_mag", "W_skip")
_EPSILON = 1e-5
_ROWS = 1024


@dataclass(frozen=True, eq=False, repr=False)
class Dictionary(Viewed):
    """`W_enc` [d, m], `W_dec` [m, d_out], `b_enc` [m], `b_dec` [d_out], float32. `layer` and `site` are where it reads;
    a transcoder writes at `site_out`. jumprelu has `threshold` [m]; topk has `k`; gated has `b_gate`, `b_mag`, `r_mag` [m] instead
    of b_enc. `scale` multiplies what is read (and divides what is written, but by `scale_out` in a transcoder); `normalize` is
    done to each row before it, and undone. `W_skip` [d_out, d] is a transcoder's linear path.

    `made_from` says where it comes from: the file's own configuration, and the base model.
    """

    W_enc: Array
    W_dec: Array
    b_enc: Array
    b_dec: Array
    architecture: Architecture = "relu"
    threshold: Array | None = None
    k: int | None = None
    b_gate: Array | None = None
    b_mag: Array | None = None
    r_mag: Array | None = None
    W_skip: Array | None = None
    subtract_b_dec: bool = True
    rank_by_norm: bool = False
    scale: float = 1.0
    scale_out: float | None = None
    normalize: Normalize = "none"
    site: str = "resid_post"
    layer: int = 0
    site_out: str | None = None
    made_from: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("architecture", self.architecture, get_args(Architecture))
        one_of("normalize", self.normalize, get_args(Normalize))
        for name in WEIGHTS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _finite(name, value))
        self._check_shapes()
        if self.architecture == "topk" and not 0 < integer("k", self.k) <= self.latents:
            raise RequestError(f"k={self.k} of a topk dictionary must lie in 1 to {self.latents}")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise RequestError(f"scale must be a number above 0, not {self.scale}")

    @property
    def latents(self) -> int:
        """How many latents there are (m)."""
        return int(self.W_enc.shape[1])

    @property
    def width(self) -> int:
        """The width of what it reads (d)."""
        return int(self.W_enc.shape[0])

    @property
    def transcodes(self) -> bool:
        """Whether it writes elsewhere than it reads."""
        return self.site_out is not None

    @cached_property
    def digest(self) -> str:
        """sha256 over its weights, by name."""
        total = sha256()
        for name in WEIGHTS:
            value = getattr(self, name)
            if value is not None:
                total.update(name.encode() + np.ascontiguousarray(value).tobytes())
        return total.hexdigest()

    def encode(self, x: npt.ArrayLike) -> Array:
        """Activations f [n, m] of rows x [n, d]. Raises RequestError for another width or values that are not finite."""
        rows = _rows(x, self.width)
        made = np.empty((len(rows), self.latents), np.float32)
        for start in range(0, len(rows), _ROWS):
            made[start : start + _ROWS] = self._encode(rows[start : start + _ROWS])
        return made

    def decode(self, f: npt.ArrayLike) -> Array:
        """What activations [n, m] stand for [n, d_out], at the dictionary's own scale: of rows that were not normalised, and
        without a skip path, that is the reconstruction."""
        made: Array = (np.asarray(f, np.float32) @ self.W_dec + self.b_dec) / np.float32(self._out)
        return made

    def reconstruct(self, x: npt.ArrayLike) -> Array:
        """x^ [n, d_out] of rows x [n, d]."""
        rows = _rows(x, self.width)
        normal, mean, spread = self._normal(rows)
        made = np.asarray(self.encode(rows) @ self.W_dec + self.b_dec, np.float32)
        if self.W_skip is not None:
            made += (normal * np.float32(self.scale)) @ self.W_skip.T
        return np.asarray(made / np.float32(self._out) * spread + mean, np.float32)

    def vector(self, latent: int, scale: float = 1.0) -> SteeringVector:
        """The decoder row of a latent as a steering vector, where the dictionary writes."""
        number = integer("latent", latent)
        if not 0 <= number < self.latents:
            raise RequestError(f"there is no latent {number}: the dictionary has 0 to {self.latents - 1}")
        row = self.W_dec[number] * np.float32(scale / self._out)
        made_from = {"checkpoint": self.checkpoint, "dictionary": self.digest, "latent": number}
        return SteeringVector({self.layer: row}, self.site_out or self.site, f"latent {number}", made_from)

    def clamp(
        self,
        latent: int,
        low: float | None = None,
        high: float | None = None,
        when_above: float | None = None,
        positions: str | int | Sequence[int] | Positions = "all",
        times: float = 1.0,
    ) -> tuple[VectorEdit, ...]:
        """An edit that holds `times` a latent's activation within [low, high], for `steer=`; with `when_above` only where it is
        above that. What the dictionary does not explain stays as it is, and so do all other latents' contributions.

        Where a latent does not depend on the others or on the row's norm (relu and jumprelu), one column of the encoder and one
        row of the decoder do it; else the whole dictionary travels, and there is no `when_above`. Raises RequestError.
        """
        if self.architecture not in ("relu", "jumprelu") or self.normalize != "none" or self.transcodes:
            if when_above is not None:
                raise RequestError(
                    f"a latent of this dictionary ({self.architecture}, normalize {self.normalize!r}) has no when_above=: it depends "
                    "on the others, or on another site"
                )
            return self.splice([Hold(integer("latent", latent), low, high, times)], "keep", positions)
        wrote = self.vector(latent)
        column = self.W_enc[:, latent] * np.float32(self.scale)
        read = SteeringVector({self.layer: column}, self.site, f"latent {latent}, read", wrote.made_from)
        bias = float(self.b_enc[latent]) - (float(self.b_dec @ self.W_enc[:, latent]) if self.subtract_b_dec else 0.0)
        threshold = 0.0 if self.threshold is None else float(self.threshold[latent])
        named = (Stored(read.digest, str(self.layer)), Stored(wrote.digest, str(self.layer)))
        op = ClampLatent(named, bias, threshold, low, high, when_above, times)
        return (VectorEdit(Edit(self.site, self.layer, op, parse_positions(positions)), (read, wrote)),)

    def splice(
        self,
        hold: Sequence[Hold] = (),
        error: Literal["keep", "drop"] = "drop",
        positions: str | int | Sequence[int] | Positions = "all",
        only: Sequence[int] | None = None,
    ) -> tuple[VectorEdit, ...]:
        """An edit that puts the reconstruction in place of the value, with some latents held and those not among `only` at 0, for
        `steer=`. With the error kept what the dictionary does not explain is added: then nothing else changes."""
        form, stored = self.stored
        for one in hold:
            self.vector(one.latent)
        chosen = None if only is None else tuple(integer("only", latent) for latent in only)
        reads = self.site if self.transcodes else None
        op = Splice(form, one_of("error", error, ("keep", "drop")), tuple(hold), chosen, reads)
        return (VectorEdit(Edit(self.site_out or self.site, self.layer, op, parse_positions(positions)), (stored,)),)

    @cached_property
    def stored(self) -> tuple[StoredDictionary, StoredObject]:
        """How a request names it, and what a pool must have of it."""
        from .dictionary_object import named

        return named(self)

    @property
    def checkpoint(self) -> str:
        """The digest of the model's checkpoint that it was trained on, "" when that is not known."""
        return str(self.made_from.get("checkpoint", ""))

    def forced(self) -> "Dictionary":
        """The same dictionary without the checkpoint that it was trained on, so that another takes it."""
        return replace(self, made_from={**self.made_from, "checkpoint": "", "forced_from": self.checkpoint})

    @property
    def history(self) -> Any:
        """How its training went, as a DataFrame: a row for each slice. Empty when that is not known."""
        import pandas as pd

        return pd.DataFrame(list(self.made_from.get("history", ())))

    def label(self, latent: int, text: str, judgement: str = "proposed", by: str | None = None) -> "Dictionary":
        """The same dictionary with a label of a feature: "proposed", "confirmed" or "rejected", by somebody (None: by you), now."""
        from .dictionary_notes import labelled

        return labelled(self, latent, text, judgement, by)

    def note(self, found: Any) -> "Dictionary":
        """The same dictionary with a FeatureProof, or an SAEEvaluation, in its manifest."""
        from .dictionary_notes import noted

        return noted(self, found)

    def notes(self, latent: int) -> Mapping[str, list[dict[str, Any]]]:
        """The labels and proofs of a feature, the oldest first."""
        from .dictionary_notes import notes

        return notes(self, latent)

    @property
    def labels(self) -> dict[int, str]:
        """The latest label of each feature that has one."""
        from .dictionary_notes import labels

        return labels(self)

    @property
    def verdicts(self) -> dict[int, str]:
        """The latest verdict on each feature that was tested: causal, correlational or inconclusive."""
        from .dictionary_notes import verdicts

        return verdicts(self)

    def save(self, path: str | Path) -> Path:
        """Write a directory in SAELens' layout, with a manifest, all or nothing. Raises RequestError when it exists."""
        from .dictionary_files import save_sae

        return save_sae(self, path)

    def __repr__(self) -> str:
        where = f"{self.site}[{self.layer}]" + (f" to {self.site_out}" if self.transcodes else "")
        return f"Dictionary({self.architecture}, {self.latents} latents of {self.width}, {where})"

    @property
    def _out(self) -> float:
        return self.scale if self.scale_out is None else self.scale_out

    def _normal(self, rows: Array) -> tuple[Array, Array, Array]:
        """Rows as they are read, and the mean and spread [n, 1] that undo it."""
        if self.normalize == "layer_norm":
            mean = rows.mean(1, keepdims=True)
            # The spread is that of a sample (n - 1), as in the code that such dictionaries come from.
            spread = (rows - mean).std(1, keepdims=True, ddof=1)
            return np.asarray((rows - mean) / (spread + np.float32(_EPSILON)), np.float32), mean, spread
        nothing, one = np.zeros((len(rows), 1), np.float32), np.ones((len(rows), 1), np.float32)
        if self.normalize == "constant_norm":
            spread = np.asarray(np.linalg.norm(rows, axis=1, keepdims=True) / self.width**0.5, np.float32)
            return np.asarray(rows / np.where(spread > 0, spread, 1), np.float32), nothing, spread
        return rows, nothing, one

    def _encode(self, rows: Array) -> Array:
        x: Array = self._normal(rows)[0] * np.float32(self.scale)
        x = np.asarray(x - self.b_dec, np.float32) if self.subtract_b_dec else x
        if self.architecture == "gated":
            return self._gated(np.asarray(x @ self.W_enc, np.float32))
        h = x @ self.W_enc + self.b_enc
        if self.architecture == "jumprelu":
            assert self.threshold is not None
            return np.where((h > self.threshold) & (h > 0), h, np.float32(0))
        return self._largest(np.maximum(h, 0)) if self.architecture == "topk" else np.maximum(h, 0)

    def _gated(self, h: Array) -> Array:
        assert self.b_gate is not None and self.b_mag is not None and self.r_mag is not None
        magnitude = np.maximum(h * np.exp(self.r_mag) + self.b_mag, 0)
        return np.where(h + self.b_gate > 0, magnitude, np.float32(0))

    def _largest(self, f: Array) -> Array:
        """The k largest of every row, ties to the lower latent."""
        assert self.k is not None
        weight = f * np.linalg.norm(self.W_dec, axis=1) if self.rank_by_norm else f
        order = np.argsort(-weight, axis=1, kind="stable")[:, : self.k]
        made = np.zeros_like(f)
        np.put_along_axis(made, order, np.take_along_axis(f, order, 1), 1)
        return made

    def _check_shapes(self) -> None:
        if self.W_enc.ndim != 2 or self.W_dec.ndim != 2:
            raise RequestError("W_enc is [d, m] and W_dec [m, d_out]")
        d, m = self.W_enc.shape
        out = self.W_dec.shape[1]
        wanted: dict[str, tuple[int, ...]] = {"W_dec": (m, out), "b_enc": (m,), "b_dec": (out,), "threshold": (m,)}
        wanted |= dict.fromkeys(("b_gate", "b_mag", "r_mag"), (m,)) | {"W_skip": (out, d)}
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise RequestError(
                    f"{name} has shape {list(value.shape)}; beside W_enc {[d, m]} it must be {list(shape)}"
                )
        needed = {"jumprelu": ("threshold",), "gated": ("b_gate", "b_mag", "r_mag")}.get(self.architecture, ())
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise RequestError(f"a {self.architecture} dictionary needs {', '.join(missing)}")
        if self.subtract_b_dec and out != d:
            raise RequestError(f"b_dec has width {out} and cannot be subtracted from what is read, of width {d}")
        if self.transcodes is False and out != d:
            raise RequestError(
                f"it writes a width of {out} and reads {d}: a transcoder says where it writes (site_out=)"
            )


def _finite(name: str, value: npt.ArrayLike) -> Array:
    made = np.asarray(value, np.float32)
    if not np.isfinite(made).all():
        raise RequestError(f"{name} has values that are not finite (NaN or infinity)")
    return made


def _rows(x: npt.ArrayLike, width: int) -> Array:
    rows = _finite("x", x)
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.shape[1] != width:
        raise RequestError(f"rows of width {width} are read, not an array of shape {list(rows.shape)}")
    return rows
