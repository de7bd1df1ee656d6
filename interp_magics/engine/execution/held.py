"""Rows that outlive their program, and programs answered from them instead of by a pass."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...program.cards import ModelCard
from ...program.language import Lens, Program, Stage, Surprisal, replace
from ...program.operations import Copy
from ..protocol import HeldRow, HeldSite, Outcome, RowOutcome, Task
from ..readout import Readout
from ..tokens import Encoded
from .batch import BatchRow
from .plan import BoundTap, Kept, bind_stage, canonical, chosen_positions, fetcher
from .reduce import finish, read


def held_rows(stage: Stage, rows: Sequence[RowOutcome], kept: Mapping[str, Kept]) -> tuple[HeldRow, ...]:
    """What a program's last stage kept, by row; nothing when it kept nothing, or when rows copy from one another."""
    last = [kept[tap.keep] for tap in stage.taps if tap.keep and tap.keep in kept]
    if not last or any(isinstance(edit.op, Copy) for edit in stage.edits):
        return ()
    made = []
    for row in rows:
        sites = {
            canonical(one.site, layer): HeldSite(one.positions[number], values)
            for one in last
            for (layer, number), values in one.values.items()
            if number == row.number
        }
        made.append(HeldRow(row, stage.edits, sites))
    return tuple(made)


def covered(task: Task, held: HeldRow, encoded: Encoded, card: ModelCard, readout: Readout) -> "list[Covered] | None":
    """The taps of a program whose row is the held one, with their values, if all that they read was kept."""
    taps = task.program.stages[0].taps
    if not _same_row(task.program, held, encoded) or any(isinstance(tap.reduce, Surprisal) for tap in taps):
        return None
    row = BatchRow(0, 0, encoded, task.program.rows[0].sampling, list(held.outcome.completion_ids))
    stage = replace(task.program.stages[0], edits=())
    bound = bind_stage(stage, [encoded], card, fetcher(task.objects, {}, readout.weight.device))
    made = [(tap, _HeldValues(tap, held, row, readout)) for tap in bound.taps if tap.tap.reduce is not None]
    return made if all(values.complete for _, values in made) else None


def reread(found: "list[Covered]", held: HeldRow, readout: Readout) -> Outcome:
    """The outcome of a program from what was held; on every rank at once."""
    readings = tuple(read(tap, values, readout) for tap, values in found)
    return Outcome((_alone(held.outcome),), (readings,), reread=True)


def _alone(outcome: RowOutcome) -> RowOutcome:
    """The held row as a pass over the same tokens would end: the first of its program, all forced tokens taken."""
    finish = "length" if outcome.completion_ids else outcome.finish
    return RowOutcome(0, outcome.token_ids, outcome.prompt_length, outcome.completion_ids, finish)


def _same_row(program: Program, held: HeldRow, encoded: Encoded) -> bool:
    sampling = program.rows[0].sampling
    forced = () if sampling is None else sampling.forced
    return (
        len(program.rows) == len(program.stages) == 1
        and encoded.ids == held.outcome.token_ids[: held.outcome.prompt_length]
        and forced == held.outcome.completion_ids
        and program.stages[0].edits == held.edits
        and not program.stages[0].gradients
    )


class _HeldValues:
    """Values of one tap, taken from what was held."""

    def __init__(self, tap: BoundTap, held: HeldRow, row: BatchRow, readout: Readout) -> None:
        self._tap, self._held, self._readout = tap.tap, held, readout
        self.positions = {0: chosen_positions(tap.selections[0], row)}
        wanted = [canonical(tap.tap.site, layer) for layer in tap.layers]
        if isinstance(tap.tap.reduce, Lens) and tap.tap.reduce.kl_final:
            wanted.append(("ln_final", 0))
        self.complete = all(a in held.sites and set(self.positions[0]) <= set(held.sites[a].positions) for a in wanted)

    def at(self, layer: int, row: int) -> Tensor:
        return finish(self._take(canonical(self._tap.site, layer)), self._tap, self._readout)

    def part(self, layer: int, row: int) -> Tensor:
        return self._readout.ranks.share(self.at(layer, row), 1)

    def final(self, row: int) -> Tensor:
        return self._readout.ranks.share(self._take(("ln_final", 0)), 1)

    def _take(self, address: tuple[str, int]) -> Tensor:
        site = self._held.sites[address]
        values = site.values
        if site.positions != self.positions[0]:
            place = {position: i for i, position in enumerate(site.positions)}
            values = values[torch.tensor([place[p] for p in self.positions[0]], dtype=torch.long)]
        return values.to(self._readout.weight.device)


Covered = tuple[BoundTap, _HeldValues]
