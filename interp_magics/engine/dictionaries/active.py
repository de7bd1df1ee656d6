"""Which latents of which rows are active, and the products that a step makes of them: from lists of pairs, or densely.

What is written once in terms of these four products costs 2dm operations a row to encode, and beyond that only as much as is
active, where lists are kept; and the full 8dm where most of the matrix is active anyway.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

#: Above this share of active latents dense products are cheaper than lists of pairs.
DENSE = 1 / 16


class Active(Protocol):
    """Pairs (row, latent). `values` are one number for each, in the layout's own shape."""

    def take(self, dense: Tensor) -> Tensor:
        """The values of a matrix [rows, latents] at the pairs."""
        ...

    def decode(self, values: Tensor, vectors: Tensor) -> Tensor:
        """For each row the sum of value times the latent's vector: [rows, d] of vectors [latents, d]."""
        ...

    def products(self, rows: Tensor, vectors: Tensor) -> Tensor:
        """For each pair the dot product of its row of [rows, d] with its latent's vector: values."""
        ...

    def scatter(self, values: Tensor, rows: Tensor) -> Tensor:
        """For each latent the sum of value times row: [latents, d] of [rows, d]."""
        ...

    def by_latent(self, values: Tensor) -> Tensor:
        """The sum of values of each latent [latents]."""
        ...

    def per_latent(self, numbers: Tensor) -> Tensor:
        """A number of each latent [latents] as values."""
        ...

    def split(self, ends: Sequence[int]) -> Sequence[Self]:
        """The layout cut at these latents (the last end is the number of latents), each part counting its own from 0."""
        ...

    def cut(self, values: Tensor, ends: Sequence[int]) -> Sequence[Tensor]:
        """Values of the layout as values of the parts of `split`."""
        ...

    def join(self, values: Sequence[Tensor], ends: Sequence[int]) -> Tensor:
        """What `cut` took apart."""
        ...


@dataclass(frozen=True)
class Pairs:
    """A list of pairs, row by row: `latents` [n], and where each row begins (`offsets` [rows + 1])."""

    latents: Tensor
    offsets: Tensor
    width: int

    def take(self, dense: Tensor) -> Tensor:
        return dense.flatten()[self.rows * self.width + self.latents].float()

    def decode(self, values: Tensor, vectors: Tensor) -> Tensor:
        return _bag(self.latents, vectors, self.offsets, values)

    def products(self, rows: Tensor, vectors: Tensor) -> Tensor:
        shape = (len(self.offsets) - 1, self.width)
        zeros = rows.new_zeros(len(self.latents))
        layout = torch.sparse_csr_tensor(self.offsets, self.latents, zeros, shape, check_invariants=False)
        return torch.sparse.sampled_addmm(layout, rows, vectors.T, beta=0.0).values()

    def scatter(self, values: Tensor, rows: Tensor) -> Tensor:
        order, offsets = self._transposed
        return _bag(self.rows[order], rows, offsets, values[order])

    def by_latent(self, values: Tensor) -> Tensor:
        return values.new_zeros(self.width).index_add_(0, self.latents, values)

    def per_latent(self, numbers: Tensor) -> Tensor:
        return numbers[self.latents]

    def split(self, ends: Sequence[int]) -> Sequence["Pairs"]:
        made = []
        for which, first, end in zip(self._parts(ends), (0, *ends[:-1]), ends, strict=True):
            counts = torch.bincount(self.rows[which], minlength=len(self.offsets) - 1)
            made.append(Pairs(self.latents[which] - first, _offsets(counts), end - first))
        return made

    def cut(self, values: Tensor, ends: Sequence[int]) -> Sequence[Tensor]:
        return [values[which] for which in self._parts(ends)]

    def join(self, values: Sequence[Tensor], ends: Sequence[int]) -> Tensor:
        made = torch.empty(len(self.latents), dtype=values[0].dtype, device=values[0].device)
        for which, some in zip(self._parts(ends), values, strict=True):
            made[which] = some
        return made

    def _parts(self, ends: Sequence[int]) -> Sequence[Tensor]:
        pairs = zip((0, *ends[:-1]), ends, strict=True)
        return [((self.latents >= first) & (self.latents < end)).nonzero().flatten() for first, end in pairs]

    @cached_property
    def rows(self) -> Tensor:
        """The row of every pair."""
        count = len(self.offsets) - 1
        numbers = torch.arange(count, device=self.offsets.device)
        return numbers.repeat_interleave(self.offsets.diff(), output_size=len(self.latents))

    @cached_property
    def _transposed(self) -> tuple[Tensor, Tensor]:
        """The pairs latent by latent: their order, and where each latent begins."""
        return self.latents.argsort(stable=True), _offsets(torch.bincount(self.latents, minlength=self.width))


@dataclass(frozen=True)
class Mask:
    """Pairs as a matrix [rows, latents] of which the others are False; its products are made in `dtype`."""

    mask: Tensor
    dtype: torch.dtype = torch.float32

    def take(self, dense: Tensor) -> Tensor:
        return dense.float() * self.mask

    def decode(self, values: Tensor, vectors: Tensor) -> Tensor:
        return product(values, vectors, self.dtype)

    def products(self, rows: Tensor, vectors: Tensor) -> Tensor:
        return product(rows, vectors.T, self.dtype).mul_(self.mask)

    def scatter(self, values: Tensor, rows: Tensor) -> Tensor:
        return product(values.T, rows, self.dtype)

    def by_latent(self, values: Tensor) -> Tensor:
        return values.sum(0)

    def per_latent(self, numbers: Tensor) -> Tensor:
        return numbers * self.mask

    def split(self, ends: Sequence[int]) -> Sequence["Mask"]:
        return [Mask(part, self.dtype) for part in self.cut(self.mask, ends)]

    def cut(self, values: Tensor, ends: Sequence[int]) -> Sequence[Tensor]:
        return [values[:, first:end] for first, end in zip((0, *ends[:-1]), ends, strict=True)]

    def join(self, values: Sequence[Tensor], ends: Sequence[int]) -> Tensor:
        return torch.cat(list(values), 1)


def product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """a @ b with factors of that dtype, as float32."""
    return (a.to(dtype) @ b.to(dtype)).float()


def of_mask(mask: Tensor, dtype: torch.dtype) -> Active:
    """The active pairs of a matrix of True and False, as a list when they are few."""
    few = int(mask.count_nonzero()) <= DENSE * mask.numel()
    return pairs_of(mask) if few else Mask(mask, dtype)


def pairs_of(mask: Tensor) -> Pairs:
    """The active pairs of a matrix of True and False as a list."""
    rows, latents = mask.nonzero(as_tuple=True)
    return Pairs(latents, _offsets(torch.bincount(rows, minlength=len(mask))), mask.shape[1])


def of_top(latents: Tensor, width: int) -> Pairs:
    """The same number of latents in each row [rows, k]."""
    rows, k = latents.shape
    offsets = torch.arange(0, rows * k + 1, k, device=latents.device)
    return Pairs(latents.sort(1).values.flatten(), offsets, width)


def of_flat(places: Tensor, rows: int, width: int) -> Pairs:
    """Places in a matrix [rows, width] counted row by row."""
    ordered = places.sort().values
    return Pairs(ordered % width, _offsets(torch.bincount(ordered // width, minlength=rows)), width)


def _offsets(counts: Tensor) -> Tensor:
    made = counts.new_zeros(len(counts) + 1, dtype=torch.long)
    torch.cumsum(counts, 0, out=made[1:])
    return made


def _bag(indices: Tensor, vectors: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    return embedding_bag(indices, vectors, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)


with warnings.catch_warnings():
    # torch says once for each process that these layouts are in beta; what is used of them is tested here.
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([], dtype=torch.long), torch.tensor([]), (1, 1))
