"""A prompt gone on with twice, plainly and under steering, and what each model thinks of either text."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .completions import Completion
from .view import Viewed

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Continuation:
    """A completion, its tokens as texts, and the natural log-probability [N] of each under the plain and the steered model."""

    completion: Completion
    tokens: tuple[str, ...]
    plain: Floats
    steered: Floats

    @property
    def difference(self) -> Floats:
        """How much likelier steering makes each token, in nats [N]."""
        return np.asarray(self.steered - self.plain)


@dataclass(frozen=True, eq=False, repr=False)
class SteeredText(Viewed):
    """`plain` and `steered` continuations of one prompt; `effect` and `cost` are means over their tokens, in nats."""

    prompt: str
    steering: str
    model: str
    plain: Continuation
    steered: Continuation

    @property
    def effect(self) -> float:
        """How much likelier a token of the steered text is under steering than without."""
        return float(self.steered.difference.mean())

    @property
    def cost(self) -> float:
        """How much less likely a token of the plain text is under steering."""
        return float(-self.plain.difference.mean())

    def __repr__(self) -> str:
        return f"SteeredText({self.plain.completion.text!r}, steered: {self.steered.completion.text!r})"
