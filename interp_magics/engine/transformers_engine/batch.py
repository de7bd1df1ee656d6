"""Rows of several programs as one left-padded batch, and which of its columns is which position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ...program.language import Sampling
from ..tokens import Encoded


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


@dataclass(frozen=True)
class Pass:
    """One forward call: which batch rows take part (in batch order), and the position of each row's first real column.

    Row i of the tensors holds positions `starts[i]` to `starts[i] + width - pads[i] - 1` in columns `pads[i]` onwards.
    `followers` are batch rows without tensors of their own here: what row i of the tensors is, they are too.
    """

    members: tuple[int, ...]
    starts: tuple[int, ...]
    pads: tuple[int, ...]
    width: int
    followers: Mapping[int, int] = field(default_factory=dict)

    def index(self, member: int) -> int | None:
        """The row of the tensors that holds a batch row, None when none does."""
        return self.members.index(member) if member in self.members else self.followers.get(member)

    def stop(self, index: int) -> int:
        """The position after the last one of row `index` of the tensors."""
        return self.starts[index] + self.width - self.pads[index]

    def place(self, member: int, position: int) -> tuple[int, int]:
        """(batch index, column) of a position."""
        index = self.members.index(member)
        return index, self.pads[index] + position - self.starts[index]

    def only(self, members: frozenset[int]) -> "tuple[Pass, tuple[int, ...]]":
        """The part of this call that some batch rows are read from, and which rows of the tensors those are."""
        followed = {index for follower, index in self.followers.items() if follower in members}
        chosen = tuple(i for i, member in enumerate(self.members) if member in members or i in followed)
        place = {index: i for i, index in enumerate(chosen)}
        followers = {m: place[index] for m, index in self.followers.items() if index in place}
        named, starts, pads = (tuple(values[i] for i in chosen) for values in (self.members, self.starts, self.pads))
        return Pass(named, starts, pads, self.width, followers), chosen

    def columns(self, begin: int, end: int) -> "Pass":
        """The part of this call from column `begin` to `end` - 1, when the columns before are in the cache."""
        starts = tuple(s + max(0, begin - pad) for s, pad in zip(self.starts, self.pads, strict=True))
        pads = tuple(min(max(pad - begin, 0), end - begin) for pad in self.pads)
        return Pass(self.members, starts, pads, end - begin, self.followers)

    def positions(self) -> npt.NDArray[np.int64]:
        """The position of every column [batch, width], 0 in pads."""
        columns = np.arange(self.width)[None, :] - np.array(self.pads)[:, None]
        return np.where(columns < 0, 0, columns + np.array(self.starts)[:, None])


def prefill_pass(rows: Sequence[BatchRow]) -> Pass:
    """The pass over the prompts of all rows, padded on the left."""
    width = max(row.prompt_length for row in rows)
    pads = tuple(width - row.prompt_length for row in rows)
    return Pass(tuple(range(len(rows))), (0,) * len(rows), pads, width)


def step_pass(rows: Sequence[BatchRow], members: Sequence[int]) -> Pass:
    """The pass that feeds the newest token of each member."""
    starts = tuple(rows[m].prompt_length + len(rows[m].completion) - 1 for m in members)
    return Pass(tuple(members), starts, (0,) * len(members), 1)
