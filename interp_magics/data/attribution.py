"""What each part of a model adds directly to a logit difference."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .lens_run import Ints
from .provenance import Provenance
from .view import Viewed

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Viewed):
    """Direct logit attribution of logit(target) - logit(foil), as predicted after the last of `token_ids`.

    The stream is a sum, and with the scale of the final norm held at what it is the head reads a sum as a sum (Elhage et al. 2021):

        total = embed + sum(attn) + sum(mlp) + constant

    `attn` and `mlp` are [L], in logits; `heads` [L, H] split `attn`, but for what the output projection adds by itself (`bias` [L]); None
    where the model has no heads that can be read. `constant` is what the biases of the final norm and of the head add, whatever
    the text. What a part does through later layers is not in its number.
    """

    target: int
    foil: int
    strings: dict[int, str]
    token_ids: Ints
    embed: float
    attn: Floats
    mlp: Floats
    heads: Floats | None
    constant: float
    total: float
    provenance: Provenance

    @property
    def bias(self) -> Floats | None:
        """What the output projections of attention add beside their heads, [L]."""
        return None if self.heads is None else self.attn - self.heads.sum(1)

    def token(self, token_id: int) -> str:
        """The text of a token id that occurs here."""
        return self.strings.get(int(token_id), f"<id {int(token_id)}>")

    def to_pandas(self) -> "pd.DataFrame":
        """One row for each part: its layer, its head if it is one, and what it adds in logits."""
        import pandas as pd

        rows: list[tuple[str, int | None, int | None, float]] = [("embed", None, None, self.embed)]
        for layer, (attn, mlp) in enumerate(zip(self.attn, self.mlp, strict=True)):
            rows += [("attn", layer, None, float(attn)), ("mlp", layer, None, float(mlp))]
            if self.heads is not None:
                rows += [("head", layer, head, float(value)) for head, value in enumerate(self.heads[layer])]
        rows.append(("constant", None, None, self.constant))
        return pd.DataFrame(rows, columns=["part", "layer", "head", "logits"]).astype(
            {"layer": "Int64", "head": "Int64"}
        )

    def __repr__(self) -> str:
        what = f"{self.token(self.target)!r} over {self.token(self.foil)!r}: {self.total:+.2f} logits"
        strongest = self._strongest(3)
        return f"Attribution({what}; most of it from {', '.join(strongest)})"

    def _strongest(self, count: int) -> list[str]:
        parts = [("embed", self.embed)]
        for layer, (attn, mlp) in enumerate(zip(self.attn, self.mlp, strict=True)):
            parts += [(f"attn {layer}", float(attn)), (f"mlp {layer}", float(mlp))]
        ordered = sorted(parts, key=lambda part: -abs(part[1]))
        return [f"{name} {value:+.2f}" for name, value in ordered[:count]]
