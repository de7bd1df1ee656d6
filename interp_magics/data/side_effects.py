"""What steering does to texts that have nothing to do with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from . import files
from .provenance import Provenance

Floats = npt.NDArray[np.float64]


class SideEffectsMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plain part."""

    site: str
    layers: tuple[int, ...]
    scales: tuple[float, ...]
    provenance: Provenance


@dataclass(frozen=True, eq=False, repr=False)
class SideEffects:
    """Sums in nats over the tokens of each text that have one before them: `surprisal` and `divergence`, KL(plain ||
    steered), are [layers, texts, scales]; `plain` is the surprisal without steering and `tokens` their number, [texts]."""

    meta: SideEffectsMeta
    surprisal: files.Array
    divergence: files.Array
    plain: files.Array
    tokens: files.Array

    @property
    def layers(self) -> tuple[int, ...]:
        return self.meta.layers

    @property
    def scales(self) -> tuple[float, ...]:
        return self.meta.scales

    @property
    def perplexity(self) -> Floats:
        """exp of the mean surprisal of a token under steering [layers, scales]."""
        return np.asarray(np.exp(self.surprisal.sum(1) / self.tokens.sum()))

    @property
    def plain_perplexity(self) -> float:
        """The same without."""
        return float(np.exp(self.plain.sum() / self.tokens.sum()))

    @property
    def kl(self) -> Floats:
        """Mean KL(plain || steered) of a token's prediction, in nats [layers, scales]."""
        return np.asarray(self.divergence.sum(1) / self.tokens.sum())

    def table(self) -> Any:
        """A row for each layer and scale: perplexity, how many times that without steering, KL."""
        import pandas as pd

        index = pd.MultiIndex.from_product([self.layers, self.scales], names=["layer", "scale"])
        ratio = self.perplexity / self.plain_perplexity
        columns = {"perplexity": self.perplexity.ravel(), "times": ratio.ravel(), "kl": self.kl.ravel()}
        return pd.DataFrame(columns, index=index)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file that `interp_magics.load` reads."""
        return files.write(path, encode(self))

    def __repr__(self) -> str:
        worst = float(self.perplexity.max() / self.plain_perplexity)
        return (
            f"SideEffects({len(self.tokens)} texts, {int(self.tokens.sum())} tokens, {len(self.layers)} layers, "
            f"{len(self.scales)} scales; perplexity {self.plain_perplexity:.2f} without, at most {worst:.2f} times that with)"
        )


KIND = "side_effects"
_ARRAYS = ("surprisal", "divergence", "plain", "tokens")


def encode(run: SideEffects) -> bytes:
    """Side effects as one safetensors object."""
    return files.encode({name: getattr(run, name) for name in _ARRAYS}, {"kind": KIND, **msgspec.to_builtins(run.meta)})


def decode(tensors: dict[str, files.Array], meta: Any) -> SideEffects:
    """What `encode` made."""
    plain = msgspec.convert({k: v for k, v in meta.items() if k != "kind"}, SideEffectsMeta)
    return SideEffects(plain, *(tensors[name] for name in _ARRAYS))


def merge(parts: Sequence[SideEffects]) -> SideEffects:
    """One result from those of consecutive texts."""
    axes = {"surprisal": 1, "divergence": 1, "plain": 0, "tokens": 0}
    joined = (np.concatenate([getattr(part, name) for part in parts], axis=axis) for name, axis in axes.items())
    return SideEffects(parts[0].meta, *joined)
