"""What the passes of one batch gave at one address, cut into rows when it is read."""

from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from ..ranks import ALONE, Ranks
from .batch import Cut, Pass
from .readers import NOBODY, WHOLE, Readers

#: Of passes by their identity: the pass, and the part of it that is kept.
Cuts = dict[int, tuple[Pass, Cut]]


@dataclass
class Record:
    """The values recorded at one address, as the passes gave them: [batch, position, width, ...]; of each batch row those that
    its readers want.

    Of the first axis of a site (the stream's width, heads, neurons; `width` in all) every rank holds its share, so that
    the ranks together hold everything once. In a pipeline `ranks` are those of a stage, and a record that has an `owner` (a
    rank of `all`) is of a layer of its stage alone: elsewhere its values are None.
    """

    width: int
    ranks: Ranks = ALONE
    readers: Readers = NOBODY
    chunks: list[tuple[Pass, Tensor | None]] = field(default_factory=list)
    all: Ranks = ALONE
    owner: int | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _like: Tensor | None = None

    def keep_only(self, cuts: "Cuts") -> None:
        """Let go of the values of batch rows which are not readers. `cuts` is what other records have found for the same."""
        left = []
        for call, value in self.chunks:
            if id(call) not in cuts:
                cuts[id(call)] = call, call.cut(self.readers.spans)
            _, cut = cuts[id(call)]
            if cut.part.members:
                left.append(part_of(call, value, cut))
        self.chunks = left

    def add(self, call: Pass, value: Tensor | None) -> None:
        """Take a pass's values: a reference at one rank, else a copy of this rank's share."""
        if value is not None and self.ranks.size > 1 and value.shape[2] == self.width:
            value = self.ranks.share(value, 2).clone()
        if value is not None and self._like is None:
            self._like = value.new_empty(0, *value.shape[2:])
        self.chunks.append((call, value))

    def first(self, member: int) -> int:
        """The position of a batch row's first value: what came before it has been dropped, or was not wanted."""
        low, high = self.readers.spans.get(member, WHOLE)
        for call, _ in self.chunks:
            index = call.index(member)
            if index is not None and call.stop(index) > low and call.starts[index] < high:
                return max(low, call.starts[index])
        return low

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
        """None where nothing was recorded of any row."""
        pieces = [values for _, values in self._pieces(member)]
        if not pieces:
            return self._like
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _pieces(self, member: int) -> list[tuple[int, Tensor]]:
        """What passes gave of a batch row's span, and the position at which each piece begins."""
        low, high = self.readers.spans.get(member, WHOLE)
        pieces = []
        for call, value in self.chunks:
            index = call.index(member)
            if index is None or value is None:
                continue
            start, stop = max(low, call.starts[index]), min(high, call.stop(index))
            if start < stop:
                begin = start - call.starts[index]
                pieces.append((start, call.of(index, value)[begin : begin + stop - start]))
        return pieces

    def patterns(self, member: int) -> Tensor:
        """Attention patterns of one row as [T, heads, T]: keys are cut to the row's own and padded to all its positions.

        A layer with a sliding window gives its newest keys only, so keys are counted from the end.
        """
        pieces = self._pieces(member)
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


def part_of(call: Pass, value: V, cut: Cut) -> tuple[Pass, V]:
    """What is cut out of a value: a copy where that is much smaller, else all by reference."""
    few = 2 * cut.part.size <= call.size
    if value is None:
        return (cut.part, None) if few else (call, None)
    return (cut.part, cut.of(value)) if few else (call, value)
