"""What the passes of one batch gave at one address, cut into rows when it is read."""

from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from ..ranks import ALONE, Ranks
from .batch import Pass

#: Of passes by their identity: the part of each that is kept, and where it lies.
Cuts = dict[int, tuple[Pass, Pass, Tensor]]


@dataclass
class Record:
    """The values recorded at one address, as the passes gave them: [batch, position, width, ...].

    Of the first axis of a site (the stream's width, heads, neurons; `width` in all) every rank holds its share, so that
    the ranks together hold everything once. In a pipeline `ranks` are those of a stage, and a record that has an `owner` (a
    rank of `all`) is of a layer of its stage alone: elsewhere its values are None.
    """

    width: int
    ranks: Ranks = ALONE
    chunks: list[tuple[Pass, Tensor | None]] = field(default_factory=list)
    all: Ranks = ALONE
    owner: int | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def keep_only(self, members: frozenset[int], cuts: "Cuts") -> None:
        """Let go of the values of all other batch rows. `cuts` is what other records have found for the same members."""
        left = []
        for call, value in self.chunks:
            if id(call) not in cuts:
                part, chosen = call.only(members)
                cuts[id(call)] = call, part, torch.tensor(chosen)
            _, part, places = cuts[id(call)]
            if len(places):
                left.append(part_of(call, value, part, places))
        self.chunks = left

    def add(self, call: Pass, value: Tensor | None) -> None:
        """Take a pass's values: a reference at one rank, else a copy of this rank's share."""
        if value is not None and self.ranks.size > 1 and value.shape[2] == self.width:
            value = self.ranks.share(value, 2).clone()
        self.chunks.append((call, value))

    def first(self, member: int) -> int:
        """The position of a batch row's first value: what came before it has been dropped."""
        found = ((call, index) for call, _ in self.chunks if (index := call.index(member)) is not None)
        return next((call.starts[index] for call, index in found), 0)

    def row(self, member: int) -> Tensor:
        """All values of one batch row in order of position: [T, ...]; on every rank."""
        own = self._own(member)
        whole = None if own is None else self.ranks.gather(own, 1, self.width)
        if self.owner is not None:
            return self.all.spread(whole, self.owner, self.device)
        return _read(whole)

    def part(self, member: int) -> Tensor:
        """This rank's share of `row`."""
        if self.owner is not None:
            return self.all.share(self.row(member), 1)
        return _read(self._own(member))

    def _own(self, member: int) -> Tensor | None:
        pieces = []
        for call, value in self.chunks:
            index = call.index(member)
            if index is not None and value is not None:
                pieces.append(call.of(index, value))
        if not pieces:
            return None
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def patterns(self, member: int) -> Tensor:
        """Attention patterns of one row as [T, heads, T]: keys are cut to the row's own and padded to all its positions.

        A layer with a sliding window gives its newest keys only, so keys are counted from the end.
        """
        pieces: list[tuple[int, Tensor]] = []
        for call, value in self.chunks:
            index = call.index(member)
            if index is not None and value is not None:
                pieces.append((call.starts[index], call.of(index, value)))
        total = sum(len(piece) for _, piece in pieces)
        part = pieces[0][1].new_zeros(total, pieces[0][1].shape[1], total)
        for start, piece in pieces:
            stop = start + len(piece)
            keys = min(stop, piece.shape[-1])
            part[start:stop, :, stop - keys : stop] = piece[..., piece.shape[-1] - keys :]
        return self.ranks.gather(part, 1, self.width)


def _read(values: Tensor | None) -> Tensor:
    if values is None:
        raise RuntimeError("no pass came by")
    return values


V = TypeVar("V", Tensor, None)


def part_of(call: Pass, value: V, part: Pass, chosen: Tensor) -> tuple[Pass, V]:
    """What is chosen of a value, which is `part` of its call: a copy where that is much smaller, else all by reference."""
    few = 2 * part.size <= call.size
    if value is None:
        return (part, None) if few else (call, None)
    return (part, value.index_select(int(call.flat), chosen.to(value.device))) if few else (call, value)
