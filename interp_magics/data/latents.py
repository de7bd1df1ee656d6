"""The latents of a dictionary on texts, token by token."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .files import Array


@dataclass(frozen=True, eq=False, repr=False)
class LatentActivations:
    """One text: its `tokens` (and `ids`), and the activation of each of `latents` at each of them [tokens, latents]."""

    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    latents: tuple[int, ...]
    values: Array

    def strongest(self, most: int = 10, leave_out: int = 1) -> list[tuple[int, float, int]]:
        """The latents with the largest activation anywhere but in the first `leave_out` tokens, which often stand for the text's
        beginning alone: (latent, activation, position)."""
        some = np.asarray(self.values, np.float64)[leave_out:]
        if not some.size:
            return []
        peaks = some.max(0)
        order = np.argsort(-peaks, kind="stable")[:most]
        return [(self.latents[i], float(peaks[i]), int(some[:, i].argmax()) + leave_out) for i in order if peaks[i] > 0]

    def of(self, latent: int) -> npt.NDArray[np.float64]:
        """The activation of one latent at each token."""
        return np.asarray(self.values[:, self.latents.index(latent)], np.float64)

    def __repr__(self) -> str:
        rows = [
            f"  {latent:>6}  {value:8.3g} at {position} {self.tokens[position]!r}"
            for latent, value, position in self.strongest(6)
        ]
        return "\n".join(
            [f"LatentActivations({len(self.tokens)} tokens, {len(self.latents)} latents; strongest", *rows, ")"]
        )
