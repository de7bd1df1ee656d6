"""Rows of several programs as one batch, and which place of its tensors is which position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...program.language import Sampling
from ..tokens import Encoded

#: A site at a layer.
Address = tuple[str, int]
#: Positions from the first to the one before the second.
Span = tuple[int, int]

#: The most tokens of one pass; more are read in several.
PASS_TOKENS = 16384


@dataclass
class BatchRow:
    """One row while it runs. `task` and `row` say whose it is; `completion` grows."""

    task: int
    row: int
    encoded: Encoded
    sampling: Sampling | None
    completion: list[int]
    finish: str = "prompt"

    @property
    def prompt_length(self) -> int:
        return len(self.encoded.ids)

    @property
    def over(self) -> bool:
        """Whether nothing more is generated."""
        return self.sampling is None or self.finish not in ("", "prompt")

    @property
    def read_length(self) -> int:
        """T: the last sampled token is never fed."""
        return self.prompt_length + max(0, len(self.completion) - 1)


#: Batch rows by their number.
Rows = Sequence[BatchRow] | Mapping[int, BatchRow]


@dataclass(frozen=True)
class Pass:
    """One forward call: which batch rows take part, and where their positions lie in its tensors [batch, columns, ...].

    Member i has positions `starts[i]` to `starts[i] + counts[i] - 1`, in columns `columns[i]` onwards of row `rows[i]` of the
    tensors. Either each member has a row of its own, or all lie one after another in one row. `followers` are batch rows
    without tensors of their own here: what member i is, they are too.
    """

    members: tuple[int, ...]
    starts: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    counts: tuple[int, ...]
    followers: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def padded(
        cls,
        members: tuple[int, ...],
        starts: tuple[int, ...],
        pads: tuple[int, ...],
        width: int,
        followers: Mapping[int, int] | None = None,
    ) -> "Pass":
        """A row for each member, padded on the left to one width."""
        counts = tuple(width - pad for pad in pads)
        return cls(members, starts, tuple(range(len(members))), pads, counts, followers or {})

    @property
    def flat(self) -> bool:
        """Whether several members lie in one row."""
        return len(self.rows) > 1 and self.rows[0] == self.rows[1]

    @property
    def width(self) -> int:
        """Columns that hold something."""
        return max(column + count for column, count in zip(self.columns, self.counts, strict=True))

    @property
    def size(self) -> int:
        """Positions in all."""
        return sum(self.counts)

    def index(self, member: int) -> int | None:
        """Which member's values are those of a batch row, None when none are."""
        return self.members.index(member) if member in self.members else self.followers.get(member)

    def stop(self, index: int) -> int:
        """The position after the last one of member `index`."""
        return self.starts[index] + self.counts[index]

    def place(self, member: int, position: int) -> tuple[int, int]:
        """(row, column) of a position."""
        index = self.members.index(member)
        return self.rows[index], self.columns[index] + position - self.starts[index]

    def of(self, index: int, value: Tensor) -> Tensor:
        """The values [positions, ...] of member `index`."""
        column = self.columns[index]
        return value[self.rows[index], column : column + self.counts[index]]

    def cut(self, spans: Mapping[int, Span]) -> "Cut":
        """The part of this call that some batch rows are read from, each in its span."""
        named: dict[int, list[Span]] = {}
        for index, member in (*enumerate(self.members), *((i, m) for m, i in self.followers.items())):
            if member in spans:
                named.setdefault(index, []).append(spans[member])
        taken = {index: span for index in sorted(named) if (span := self._taken(index, named[index]))}
        place = {index: i for i, index in enumerate(taken)}
        followers = {m: place[index] for m, index in self.followers.items() if index in place}
        begins = [self.columns[i] + low for i, (low, _) in taken.items()]
        members = tuple(self.members[i] for i in taken)
        starts = tuple(self.starts[i] + low for i, (low, _) in taken.items())
        counts = tuple(high - low for low, high in taken.values())
        if self.flat:
            columns = [begin + i for begin, count in zip(begins, counts, strict=True) for i in range(count)]
            packed = tuple(accumulate(counts[:-1], initial=0)) if counts else ()
            return Cut(
                Pass(members, starts, (0,) * len(members), packed, counts, followers), None, torch.tensor(columns)
            )
        first = min(begins, default=0)
        after = max((begin + count for begin, count in zip(begins, counts, strict=True)), default=0)
        shifted = tuple(begin - first for begin in begins)
        part = Pass(members, starts, tuple(range(len(members))), shifted, counts, followers)
        return Cut(part, torch.tensor([self.rows[i] for i in taken]), slice(first, after))

    def _taken(self, index: int, spans: Sequence[Span]) -> Span | None:
        """The stretch of a member's positions, counted from its first here, in which some spans are."""
        low = max(0, min(low for low, _ in spans) - self.starts[index])
        high = min(self.counts[index], max(high for _, high in spans) - self.starts[index])
        return (low, high) if low < high else None

    def between(self, begin: int, end: int) -> "Pass":
        """The part of a padded call from column `begin` to `end` - 1, when the columns before are in the cache."""
        starts = tuple(s + max(0, begin - pad) for s, pad in zip(self.starts, self.columns, strict=True))
        pads = tuple(min(max(pad - begin, 0), end - begin) for pad in self.columns)
        return Pass.padded(self.members, starts, pads, end - begin, self.followers)

    def after(self, read: Mapping[int, int]) -> "Pass":
        """The part of this call that comes after the positions that members have been read to already."""
        known = [
            min(max(0, read.get(member, 0) - start), count)
            for member, start, count in zip(self.members, self.starts, self.counts, strict=True)
        ]
        if not any(known):
            return self
        left = [i for i, count in enumerate(self.counts) if known[i] < count]
        return Pass(
            tuple(self.members[i] for i in left),
            tuple(self.starts[i] + known[i] for i in left),
            tuple(self.rows[i] for i in left),
            tuple(self.columns[i] + known[i] for i in left),
            tuple(self.counts[i] - known[i] for i in left),
        )

    def positions(self) -> npt.NDArray[np.int64]:
        """The position of every column [batch, width] of a padded call, 0 in pads."""
        columns = np.arange(self.width)[None, :] - np.array(self.columns)[:, None]
        return np.where(columns < 0, 0, columns + np.array(self.starts)[:, None])


@dataclass(frozen=True)
class Cut:
    """A part of a call, and where it lies in the tensors of the call: in `rows` of a stretch of columns, or in columns of the one row
    that all members share."""

    part: Pass
    rows: Tensor | None
    columns: Tensor | slice

    def of(self, value: Tensor) -> Tensor:
        """A copy of that part of a tensor [batch, columns, ...]."""
        if isinstance(self.columns, Tensor):
            return value.index_select(1, self.columns.to(value.device))
        assert self.rows is not None
        return value[:, self.columns].index_select(0, self.rows.to(value.device))


@dataclass(frozen=True)
class Places:
    """Places in the tensors of a call, one after another: row and column of each, and which member it is of. Where they are `all` places
    of tensors of so many rows and columns, in order, nothing needs to be picked out."""

    rows: Tensor
    columns: Tensor
    members: Tensor
    all: tuple[int, int] | None = None

    @property
    def at(self) -> tuple[Tensor, Tensor]:
        """What indexes a tensor [batch, columns, ...] there."""
        return self.rows, self.columns

    def of(self, value: Tensor) -> Tensor:
        """The values [places, ...] of a tensor [batch, columns, ...]."""
        return value.flatten(0, 1) if value.shape[:2] == self.all else value[self.at]

    def put(self, value: Tensor, new: Tensor) -> None:
        """Write them there."""
        if value.shape[:2] == self.all:
            value.copy_(new.view_as(value))
        else:
            value[self.at] = new


def prefill_pass(rows: Sequence[BatchRow]) -> Pass:
    """The pass over the prompts of all rows, padded on the left."""
    width = max(row.prompt_length for row in rows)
    pads = tuple(width - row.prompt_length for row in rows)
    return Pass.padded(tuple(range(len(rows))), (0,) * len(rows), pads, width)


def step_pass(rows: Sequence[BatchRow], members: Sequence[int]) -> Pass:
    """The pass that feeds the newest token of each member."""
    starts = tuple(rows[m].prompt_length + len(rows[m].completion) - 1 for m in members)
    return Pass.padded(tuple(members), starts, (0,) * len(members), 1)
