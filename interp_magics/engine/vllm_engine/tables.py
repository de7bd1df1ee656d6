"""Vectors that tokens add to the stream, in tables that compiled steps read: a step in which nothing else is written or read stays in
its CUDA graph, which reads the tables anew whenever it is repeated.

There is a table at each place of the stream, [1 + slots, width] in float32, whose first row is zero, and one list for all of them:
the row that each token of a step adds. A slot is what one row of a program adds at all places.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...program.positions import Selection
from ..execution.batch import Address, Pass
from ..execution.plan import BoundStage


class _Added(NamedTuple):
    """What a row of a program adds: its vectors by place, and where."""

    vectors: dict[Address, Tensor]
    where: Selection

    @property
    def kind(self) -> tuple[tuple[Address, int], ...]:
        """The same for rows that add the same."""
        return tuple((address, id(vector)) for address, vector in self.vectors.items())


class Tables:
    """The tables of one process, and who has which slot of them; what is added to the stream by edits while they are not `used`."""

    def __init__(self, places: Sequence[Address], slots: int, width: int, tokens: int, device: torch.device) -> None:
        """`tokens` is the most that a step may have."""
        self._numbers = {address: number for number, address in enumerate(places)}
        self._vectors = torch.zeros(len(places), 1 + slots, width, device=device)
        self.used = True
        self._adding = False
        self._chosen = torch.zeros(tokens, dtype=torch.long, device=device)
        self._now: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._free = list(range(slots, 0, -1))
        self._members: dict[int, tuple[int, Selection]] = {}

    def take(self, stage: BoundStage, place: Mapping[int, int]) -> bool:
        """Whether the tables do all that a stage does to its rows, until these are forgotten; `place` gives their batch rows. They do
        additions to the stream as they are, in a stage that reads nothing, as far as there are slots."""
        rows = self._additions(stage)
        kinds: dict[tuple[tuple[Address, int], ...], list[int]] = {}
        for row, added in rows.items():
            kinds.setdefault(added.kind, []).append(row)
        if not self.used or not kinds or len(kinds) > len(self._free):
            return False
        for alike in kinds.values():
            slot = self._free.pop()
            self._fill(slot, rows[alike[0]].vectors)
            self._members |= {place[row]: (slot, rows[row].where) for row in alike}
        return True

    def _additions(self, stage: BoundStage) -> dict[int, _Added]:
        """What each row adds; nothing when a stage does more than that, or adds at different positions of a row."""
        rows: dict[int, _Added] = {}
        for address, edit in stage.edits:
            if edit.shifts is None or address not in self._numbers or stage.taps:
                return {}
            for row, where in edit.selections.items():
                added = rows.setdefault(row, _Added({}, where))
                if where is not added.where or where.after is not None or address in added.vectors:
                    return {}
                added.vectors[address] = edit.shifts[row]
        return rows

    def _fill(self, slot: int, vectors: Mapping[Address, Tensor]) -> None:
        self._vectors[:, slot].zero_()
        for address, vector in vectors.items():
            self._vectors[self._numbers[address], slot].copy_(vector)

    def forget(self, members: Collection[int]) -> None:
        """Let go of what batch rows have."""
        let = {self._members.pop(member)[0] for member in members if member in self._members}
        self._free += sorted(let - {slot for slot, _ in self._members.values()}, reverse=True)

    def prepare(self, call: Pass) -> None:
        """Say what each token of the next step adds."""
        if not self._members and not self._adding:
            return
        chosen = np.zeros(call.width if call.members else 0, np.int64)
        for index, member in enumerate(call.members):
            if member in self._members:
                slot, where = self._members[member]
                begin, count = call.columns[index], call.counts[index]
                chosen[begin : begin + count] = slot * where.mask(call.starts[index], call.stop(index), ())
        if not np.array_equal(chosen, self._now):
            self._chosen.zero_()
            self._chosen[: len(chosen)].copy_(torch.from_numpy(chosen))
            self._now, self._adding = chosen, bool(chosen.any())

    def add(self, address: Address, value: Tensor) -> None:
        """Add to `value` [..., width] what its tokens add at a place. A graph that is recorded adds, whatever they add now."""
        number = self._numbers.get(address)
        if number is not None and (self._adding or _recording(value)):
            flat = value.view(-1, value.shape[-1])
            flat.add_(self._vectors[number].index_select(0, self._chosen[: len(flat)]))


def _recording(value: Tensor) -> bool:
    return value.is_cuda and bool(torch.cuda.is_current_stream_capturing())
