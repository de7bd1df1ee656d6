"""Kinds of lens: what happens to a row of the stream before the model's own readout reads it."""

from typing import Protocol

from torch import Tensor

from .readout import Readout


class LensKind(Protocol):
    """One kind. Fitted kinds will carry their translators; the readout after them is the model's in all of them."""

    def normed(self, hidden: Tensor, layer: int, readout: Readout) -> Tensor:
        """[n, d_model] of the stream at `layer` to what the head reads, the final norm applied."""
        ...


class LogitLens:
    """The stream as it is (nostalgebraist 2020, "interpreting GPT: the logit lens")."""

    def normed(self, hidden: Tensor, layer: int, readout: Readout) -> Tensor:
        normed: Tensor = readout.norm(hidden)
        return normed


LENS_KINDS: dict[str, LensKind] = {"logit": LogitLens()}
