"""A dictionary's reconstruction in place of a value, some of its latents held."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...program.operations import ROWS_AT_ONCE, Splice
from ..dictionaries.loaded import Loaded
from .batch import Pass, Places, Rows


@dataclass(eq=False)
class BoundSource:
    """Where a transcoder reads: the value of that site in the present pass."""

    address: tuple[str, int]
    value: Tensor | None = None

    def look(self, value: Tensor, call: Pass, rows: Rows) -> None:
        """Take note of the value [batch, columns, ...] in a pass."""
        self.value = value

    def at(self, places: Places, width: int) -> tuple[Tensor, int]:
        """The values at some places, and how wide they are where no rank holds only a share."""
        assert self.value is not None
        return places.of(self.value), width


def bind_splice(op: Splice, dictionary: Loaded) -> Callable[..., Tensor]:
    """`op` as a function of the values [n, ...], and of those that a transcoder reads; the result has their dtype."""

    def apply(value: Tensor, read: Tensor | None = None) -> Tensor:
        if op.error == "keep" and not op.hold and op.only is None:
            return value
        sources = value if read is None else read
        pairs = zip(value.split(ROWS_AT_ONCE), sources.split(ROWS_AT_ONCE), strict=True)
        made = [_spliced(op, dictionary, x.flatten(1).float(), source.flatten(1).float()) for x, source in pairs]
        return torch.cat(made).to(value.dtype).view_as(value) if made else value

    return apply


def _spliced(op: Splice, dictionary: Loaded, x: Tensor, source: Tensor) -> Tensor:
    f = dictionary.encode(source)
    held = _held(f, op)
    if op.error == "drop":
        return dictionary.decode(held, source)
    if op.only is not None:
        return x + dictionary.difference(held - f, source)
    latents = torch.tensor(sorted({hold.latent for hold in op.hold}), device=f.device)
    return x + dictionary.difference(held[:, latents] - f[:, latents], source, latents)


def _held(f: Tensor, op: Splice) -> Tensor:
    """The activations as the splice makes them."""
    made = f.clone()
    if op.only is not None:
        made = torch.zeros_like(f)
        made[:, list(op.only)] = f[:, list(op.only)]
    for hold in op.hold:
        column = hold.times * made[:, hold.latent]
        bounded = hold.low is not None or hold.high is not None
        made[:, hold.latent] = column.clamp(hold.low, hold.high) if bounded else column
    return made
