"""What edits write in a pass: the places that each of them selects, and what is put there."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ...program.positions import Selection
from ..ranks import Ranks
from .batch import Pass, Places, Rows
from .conditions import BoundWhen
from .splices import BoundSource

Selections = dict[int, Selection]
#: Members, rows and columns of a pass.
Layout = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@dataclass(eq=False)
class Given:
    """What the source of a copy had at its positions, where it passes before its targets do: [width, ...] each."""

    values: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class BoundEdit:
    """An edit whose rows are batch rows: the selection of positions for each, the index within the site, the operation.

    A copy has `source` (batch row) and `mapping` (target to source position; None copies each position to itself), and what it
    was `given` if the source does not pass together with its targets. What is added as it is, without an index or a condition,
    is in `shifts`, a vector for each batch row, instead of an operation: those of several programs are added at once. An
    operation with `reads` is of the values, and of those at another site.
    """

    selections: Selections
    index: tuple[int, ...] | None
    operation: Callable[..., Tensor] | None
    source: int | None = None
    mapping: dict[int, int] | None = None
    given: Given | None = None
    when: BoundWhen | None = None
    reads: BoundSource | None = None
    shifts: dict[int, Tensor] | None = None


class Writer:
    """Applies edits in the pass that is under way; what was found of its places serves all layers, and the next pass too
    while only one token of each row is fed. `width` gives the first axis of a site."""

    def __init__(self, rows: Rows, ranks: Ranks, width: Callable[[str], int]) -> None:
        self._rows, self._ranks, self._width = rows, ranks, width
        self._pass: Pass | None = None
        self._places: dict[int, Places | None] = {}
        self._lasting: dict[int, Places | None] = {}
        self._lasting_of: Layout | None = None
        self._added: dict[int, tuple[Places, Tensor]] = {}

    def begin(self, call: Pass) -> None:
        """A pass begins."""
        self._pass = call
        layout = (call.members, call.rows, call.columns) if max(call.counts, default=0) == 1 else None
        if layout is None or layout != self._lasting_of:
            self.forget(layout)
        self._places = dict(self._lasting)

    def forget(self, layout: Layout | None = None) -> None:
        """What was found of the places of a pass holds no more; the next has `layout`, if each row has one token in it."""
        self._lasting_of = layout
        self._lasting.clear()
        self._added.clear()

    def targets(self, edit: BoundEdit) -> Places | None:
        """The places that an edit writes in this pass, None when it has nothing to do; shared by all layers of a pass."""
        key = id(edit.selections)
        if key not in self._places:
            self._places[key], lasts = self._find(edit.selections)
            if lasts and self._lasting_of is not None:
                self._lasting[key] = self._places[key]
        found = self._places[key]
        return _NOWHERE if found is None and self._gives(edit) else found

    def _gives(self, edit: BoundEdit) -> bool:
        """Whether what a copy will need passes."""
        return edit.given is not None and self._pass is not None and edit.source in self._pass.members

    def _find(self, selections: Selections) -> tuple[Places | None, bool]:
        """The places, and whether they are the same in the next pass if that has the same layout: all rows generate."""
        call, lasts = self._pass, True
        assert call is not None
        rows, columns, members = [], [], []
        for index, member in enumerate(call.members):
            selection = selections.get(member)
            if selection is None:
                continue
            start, count = call.starts[index], call.counts[index]
            if count == 1 and start >= len(selection.prompt) and selection.after is None:
                found = [call.columns[index]] * selection.generated
            else:
                lasts = False
                chosen = selection.mask(start, start + count, self._rows[member].completion)
                found = (np.flatnonzero(chosen) + call.columns[index]).tolist()
            rows += [call.rows[index]] * len(found)
            members += [index] * len(found)
            columns += found
        if not rows:
            return None, lasts
        every = _every(rows, columns) if lasts else None
        return Places(torch.tensor(rows), torch.tensor(columns), torch.tensor(members), every), lasts

    def apply(self, edit: BoundEdit, places: Places, view: Tensor, width: int) -> None:
        """Edit the places of `view`. Where a rank holds only its share of a site, what is edited is gathered, and each
        rank writes its own."""
        if edit.source is not None:
            self._copy(edit, places, view, width)
            return
        if edit.when is not None:
            places = edit.when.among(places)
        values = self._whole(places.of(view), width)
        if edit.shifts is not None:
            values = self._shifted(edit.shifts, places, values)
        elif edit.operation is None:
            raise AssertionError("an edit has an operation, or vectors that it adds")
        elif edit.reads is not None:
            values = edit.operation(values, self._whole(*edit.reads.at(places, self._width(edit.reads.address[0]))))
        elif edit.index is None:
            values = edit.operation(values)
        else:
            index = torch.tensor(edit.index)
            values[:, index] = edit.operation(values[:, index])
        places.put(view, self._here(view, values))

    def _shifted(self, shifts: dict[int, Tensor], places: Places, values: Tensor) -> Tensor:
        """`values` [n, width, ...] of members of this pass, each with its own vector added."""
        known, added = self._added.get(id(shifts), (None, values))
        if known is not places:
            added = self._table(shifts, places.members, values)
            self._added[id(shifts)] = places, added
        return (values.float() + added).to(values.dtype)

    def _table(self, shifts: dict[int, Tensor], members: Tensor, values: Tensor) -> Tensor:
        assert self._pass is not None
        present = [index for index, member in enumerate(self._pass.members) if member in shifts]
        table = torch.stack([shifts[self._pass.members[index]] for index in present]).to(values.device)
        added = table[torch.searchsorted(torch.tensor(present), members).to(values.device)]
        return added if values.ndim == 2 else added[:, None]

    def _whole(self, values: Tensor, width: int) -> Tensor:
        """[n, width, ...] from this rank's share of it, or as it is where every rank holds all."""
        return values if values.shape[1] == width else self._ranks.gather(values, 1, width)

    def _here(self, view: Tensor, values: Tensor) -> Tensor:
        """This rank's share of values, or as they are where every rank holds all."""
        return values if values.shape[1] == view.shape[2] else self._ranks.share(values, 1)

    def _copy(self, edit: BoundEdit, places: Places, view: Tensor, width: int) -> None:
        """Copy from a row. Positions that it does not have, in this pass or given before, are left as they are."""
        call = self._pass
        assert call is not None
        if self._gives(edit):
            self._give(edit, call, view)
        found = []
        for row, column, member in zip(*(one.tolist() for one in (*places.at, places.members)), strict=True):
            position = call.starts[member] + column - call.columns[member]
            wanted = position if edit.mapping is None else edit.mapping.get(position)
            if wanted is not None and self._has(edit, call, call.members[member], position, wanted):
                found.append((row, column, wanted))
        if not found:
            return
        rows, columns, positions = (list(one) for one in zip(*found, strict=True))
        values = self._whole(self._of_source(edit, call, positions, view), width)
        if edit.index is not None:
            here, index = self._whole(view[rows, columns], width), torch.tensor(edit.index)
            here[:, index] = values[:, index]
            values = here
        view[rows, columns] = self._here(view, values)

    def _give(self, edit: BoundEdit, call: Pass, view: Tensor) -> None:
        """Take what the source of a copy has in this pass."""
        assert edit.given is not None and edit.source is not None
        index = call.members.index(edit.source)
        wanted = None if edit.mapping is None else set(edit.mapping.values())
        for position, value in enumerate(call.of(index, view), call.starts[index]):
            if wanted is None or position in wanted:
                edit.given.values[position] = value.clone()

    def _has(self, edit: BoundEdit, call: Pass, member: int, position: int, wanted: int) -> bool:
        """Whether the source has a position when `member` has its own. Rows that generate are at one position together only when their
        prompts are as long."""
        assert edit.source is not None
        if edit.given is None:
            if edit.source not in call.members:
                return False
            source = call.members.index(edit.source)
            return call.starts[source] <= wanted < call.stop(source)
        prompts = self._rows[member].prompt_length, self._rows[edit.source].prompt_length
        read = position < prompts[0], wanted < prompts[1]
        return wanted in edit.given.values and read[0] == read[1] and (read[0] or prompts[0] == prompts[1])

    def _of_source(self, edit: BoundEdit, call: Pass, positions: list[int], view: Tensor) -> Tensor:
        """The values [n, ...] of a copy's source at some positions, as far as this rank holds them."""
        assert edit.source is not None
        if edit.given is not None:
            return torch.stack([edit.given.values[position] for position in positions])
        rows, columns = zip(*(call.place(edit.source, position) for position in positions), strict=True)
        return view[list(rows), list(columns)]


#: Where an edit is that writes nothing in a pass, and takes what it will write.
_NOWHERE = Places(*(torch.empty(0, dtype=torch.long) for _ in range(3)))


def _every(rows: list[int], columns: list[int]) -> tuple[int, int] | None:
    """(rows, columns) of the tensors of which these are all places, in order, if each row or each column has one."""
    numbers = list(range(len(rows)))
    if rows == numbers and not any(columns):
        return len(rows), 1
    return (1, len(rows)) if columns == numbers and not any(rows) else None


def apart(one: BoundEdit, other: BoundEdit) -> bool:
    """Whether two edits are additions to rows of their own, which may be done at once."""
    both = one.shifts is not None and other.shifts is not None
    return both and one.selections.keys().isdisjoint(other.selections)
