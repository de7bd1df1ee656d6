"""A dictionary whose latents are shared out over ranks: rank r of n has latents r, r + n, r + 2n …, so that every rank has its share of
every prefix; the bias of the decoder, and what is learned from, all have.

What is written once in terms of these sums and choices trains a whole dictionary on one rank, where nothing crosses, and a share of one
on each of several.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..ranks import ALONE, Ranks
from .active import DENSE, Active, Mask, of_flat, of_top
from .selection import largest_of_all, largest_of_rows


@dataclass(frozen=True)
class Shard:
    """The share that this rank has among `ranks`. Its calls are made by all of them alike, and give the same on each, but for the latents
    that are its own."""

    ranks: Ranks = ALONE

    @property
    def whole(self) -> bool:
        """Whether this rank has all of it."""
        return self.ranks.size == 1

    def of(self, latents: Tensor) -> Tensor:
        """This rank's of something that each latent has [latents, ...]."""
        return latents[self.ranks.rank :: self.ranks.size]

    def ends(self, prefixes: Sequence[int]) -> list[int]:
        """How many of each prefix's latents are here."""
        return [-(-(end - self.ranks.rank) // self.ranks.size) if end > self.ranks.rank else 0 for end in prefixes]

    def sum(self, value: Tensor) -> Tensor:
        """The sum of what each rank has; `value` may be written over."""
        return self.ranks.total(value)

    def sums(self, values: Sequence[Tensor]) -> Sequence[Tensor]:
        """The sums of several tensors of one shape."""
        return values if self.whole else list(self.ranks.total(torch.stack(list(values))))

    def counts(self, count: int) -> list[int]:
        """The numbers of all ranks, in their order."""
        mine = [count * (rank == self.ranks.rank) for rank in range(self.ranks.size)]
        return self.ranks.summed(mine)

    def of_first(self, number: int) -> int:
        """The number that the first rank has."""
        return self.ranks.tell([number])[0]

    def lowest(self, values: Tensor) -> Tensor:
        """The least of all ranks' numbers; 0 where there is none."""
        least = values.amin() if len(values) else values.new_full((), torch.inf)
        if not self.whole:
            least = self.ranks.stacked(least).amin()
        return torch.where(least.isinf(), 0.0, least)

    def of_rows(self, h: Tensor, k: int, dtype: torch.dtype) -> Active:
        """The k largest of each row, of which those of this rank's latents are in h [rows, latents]; products are made in `dtype` where
        most are chosen."""
        rows, width = h.shape
        here = largest_of_rows(h, min(k, width))
        mine = True if self.whole else self._chosen(h.gather(1, here), k)
        if here.shape[1] > DENSE * width:
            return Mask(torch.zeros_like(h, dtype=torch.bool).scatter_(1, here, mine), dtype)
        if self.whole:
            return of_top(here, width)
        numbers = torch.arange(rows, device=h.device)[:, None].expand_as(here)
        return of_flat((numbers * width + here)[mine], rows, width)

    def of_all(self, h: Tensor, count: int) -> Active:
        """The `count` largest of all rows together."""
        rows, width = h.shape
        here = largest_of_all(h, min(count, h.numel()))
        if not self.whole:
            here = here[self._chosen(h.flatten()[here][None], count)[0]]
        return of_flat(here, rows, width)

    def _chosen(self, values: Tensor, k: int) -> Tensor:
        """Which of this rank's numbers [rows, up to k] are among the k largest of all ranks'."""
        padded = values.new_full((len(values), k), -torch.inf)
        padded[:, : values.shape[1]] = values
        everyone = self.ranks.stacked(padded).movedim(0, 1).flatten(1)
        chosen = torch.zeros_like(everyone, dtype=torch.bool).scatter_(1, everyone.topk(k, 1).indices, True)
        return chosen[:, self.ranks.rank * k :][:, : values.shape[1]]


WHOLE = Shard()
