"""Rows of several programs as one left-padded batch, and which of its columns is which position."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    def read_length(self) -> int:
        """T: the last sampled token is never fed."""
        return self.prompt_length + max(0, len(self.completion) - 1)


@dataclass(frozen=True)
class Pass:
    """One forward call: which batch rows take part (in batch order), and the position of each row's first real column.

    Row i of the tensors holds positions `starts[i]` to `starts[i] + width - pads[i] - 1` in columns `pads[i]` onwards.
    """

    members: tuple[int, ...]
    starts: tuple[int, ...]
    pads: tuple[int, ...]
    width: int

    def place(self, member: int, position: int) -> tuple[int, int]:
        """(batch index, column) of a position."""
        index = self.members.index(member)
        return index, self.pads[index] + position - self.starts[index]


def prefill_pass(rows: Sequence[BatchRow]) -> Pass:
    """The pass over all prompts, padded on the left."""
    width = max(row.prompt_length for row in rows)
    pads = tuple(width - row.prompt_length for row in rows)
    return Pass(tuple(range(len(rows))), (0,) * len(rows), pads, width)


def step_pass(rows: Sequence[BatchRow], members: Sequence[int]) -> Pass:
    """The pass that feeds the newest token of each member."""
    starts = tuple(rows[m].prompt_length + len(rows[m].completion) - 1 for m in members)
    return Pass(tuple(members), starts, (0,) * len(members), 1)


def padded_ids(rows: Sequence[BatchRow], width: int, pad: int) -> npt.NDArray[np.int64]:
    """Token ids of all prompts [rows, width], with `pad` on the left."""
    ids = np.full((len(rows), width), pad, np.int64)
    for i, row in enumerate(rows):
        ids[i, width - row.prompt_length :] = row.encoded.ids
    return ids
