"""What a dictionary is worth: how well it stands for activations, and for them in the model's own predictions.

Losses are mean -log p of the next token in nats, over the predictions made at positions where the value was replaced; the
positions of special tokens are left as they are. `loss_clean` is the model's own, `loss_spliced` with the reconstruction in
place of the value (error dropped), `loss_zero` with 0, `loss_bias` with what the dictionary gives when no latent is active.
    ce_score  (loss_zero - loss_spliced) / (loss_zero - loss_clean)   a large loss_zero flatters: look at the losses
    kl        mean KL(clean || spliced) over the same predictions, in nats
    kl_score  1 - kl / KL(clean || zero)
With the error kept, a reconstruction changes nothing: that is a law, and is tested, so it has no number here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from . import files
from .fidelity import Fidelity, Sums, told
from .provenance import Provenance

KIND = "sae_evaluation"
_WAYS = ("clean", "spliced", "zero", "bias")
_NUMBERS = ("around", "error", "square", "made", "dot", "cosine", "ratio")


class EvaluationMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plain part. `site` and `layer` are where the value was replaced, `dictionary` is the digest of its object."""

    site: str
    layer: int
    dictionary: str
    provenance: Provenance


@dataclass(frozen=True, eq=False, repr=False)
class SAEEvaluation:
    """Sums over `predictions` of the losses [clean, spliced, zero, bias] and of KL(clean || these), in nats; and the sums behind
    `fidelity`."""

    meta: EvaluationMeta
    sums: Sums
    losses: files.Array
    divergences: files.Array
    predictions: int

    @cached_property
    def fidelity(self) -> Fidelity:
        """How well it stands for the activations, over all positions that are no special tokens."""
        return told(self.sums)

    @property
    def loss_clean(self) -> float:
        return self._loss(0)

    @property
    def loss_spliced(self) -> float:
        return self._loss(1)

    @property
    def loss_zero(self) -> float:
        return self._loss(2)

    @property
    def loss_bias(self) -> float:
        return self._loss(3)

    @property
    def ce_score(self) -> float:
        """Share of the loss between replacing by 0 and the model itself that the reconstruction recovers."""
        return (self.loss_zero - self.loss_spliced) / (self.loss_zero - self.loss_clean)

    @property
    def kl(self) -> float:
        return float(self.divergences[1]) / self.predictions

    @property
    def kl_score(self) -> float:
        return float(1 - self.divergences[1] / self.divergences[2])

    def table(self) -> Any:
        """A row for each way: loss, perplexity, KL from the model itself."""
        import pandas as pd

        losses = np.asarray(self.losses) / self.predictions
        columns = {"loss": losses, "perplexity": np.exp(losses), "kl": np.asarray(self.divergences) / self.predictions}
        return pd.DataFrame(columns, index=list(_WAYS))

    def summary(self) -> dict[str, float | int]:
        """The numbers, for a manifest."""
        found = self.fidelity
        names = ("fvu", "mse", "l0", "dead", "cosine", "norm_ratio")
        mine = ("loss_clean", "loss_spliced", "loss_zero", "loss_bias", "ce_score", "kl", "kl_score")
        made: dict[str, float | int] = {"tokens": found.tokens, "predictions": self.predictions}
        made |= {name: getattr(found, name) for name in names}
        return made | {name: getattr(self, name) for name in mine}

    def __repr__(self) -> str:
        return (
            f"SAEEvaluation({self.fidelity}; over {self.predictions:,} predictions: loss {self.loss_clean:.3f} clean, "
            f"{self.loss_spliced:.3f} spliced, {self.loss_bias:.3f} bias alone, {self.loss_zero:.3f} zero; CE score {self.ce_score:.3f}, "
            f"KL {self.kl:.4f} nats)"
        )

    def _loss(self, way: int) -> float:
        return float(self.losses[way]) / self.predictions


def encode(made: SAEEvaluation) -> bytes:
    """As one safetensors object."""
    sums = made.sums
    tensors = {
        "losses": np.asarray(made.losses, np.float64),
        "divergences": np.asarray(made.divergences, np.float64),
        "counts": np.asarray([made.predictions, sums.rows], np.int64),
        "mean": sums.mean,
        "numbers": np.asarray([getattr(sums, name) for name in _NUMBERS], np.float64),
        "fired": sums.fired,
    }
    return files.encode(tensors, {"kind": KIND, **msgspec.to_builtins(made.meta)})


def decode(tensors: Mapping[str, files.Array], meta: Any) -> SAEEvaluation:
    """What `encode` made."""
    plain = msgspec.convert({k: v for k, v in meta.items() if k != "kind"}, EvaluationMeta)
    predictions, rows = (int(count) for count in tensors["counts"])
    numbers = dict(zip(_NUMBERS, (float(number) for number in tensors["numbers"]), strict=True))
    sums = Sums(rows=rows, mean=tensors["mean"], fired=tensors["fired"], **numbers)
    return SAEEvaluation(plain, sums, tensors["losses"], tensors["divergences"], predictions)


def merge(parts: Sequence[SAEEvaluation]) -> SAEEvaluation:
    """One result from those of consecutive texts."""
    sums = Sums.begin(len(parts[0].sums.mean), len(parts[0].sums.fired))
    for part in parts:
        sums.join(part.sums)
    losses, divergences = (sum(getattr(part, name) for part in parts) for name in ("losses", "divergences"))
    return SAEEvaluation(
        parts[0].meta, sums, np.asarray(losses), np.asarray(divergences), sum(part.predictions for part in parts)
    )
