"""A task on its way through the stages of its program."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...program.language import Program, Stage
from ..protocol import GradientReading, Outcome, Reading, RowOutcome, Task
from ..tokens import Encoded
from .batch import BatchRow
from .held import held_rows
from .plan import Kept


@dataclass
class Running:
    """A task on its way through its stages."""

    number: int
    program: Program
    encoded: list[Encoded]
    task: Task
    stage: int = 0
    ended: bool = False
    #: The last position that a lens which streams was told of; a task that is tried again is told of none twice.
    told: int = -1
    kept: dict[str, Kept] = field(default_factory=dict)
    readings: list[tuple[Reading, ...]] = field(default_factory=list)
    gradients: list[tuple[GradientReading, ...]] = field(default_factory=list)
    rows: dict[int, BatchRow] = field(default_factory=dict)

    @property
    def asked(self) -> Stage:
        """The stage at which the task is."""
        return self.program.stages[self.stage]

    @property
    def last(self) -> bool:
        """Whether no stage follows."""
        return self.stage + 1 == len(self.program.stages)

    def end(self) -> None:
        """Nothing more is done for the task, and nothing of it held."""
        self.ended = True
        for values in (self.kept, self.readings, self.gradients, self.rows):
            values.clear()

    def restart(self) -> None:
        """Forget what an attempt at the present stage has read."""
        del self.readings[self.stage :], self.gradients[self.stage :]

    def row_outcomes(self, readings: Sequence[Reading] = ()) -> tuple[RowOutcome, ...]:
        """The rows as they are now, as far as they are known to be read: by their last token but one, or `readings` of them."""
        reached = {
            row: places[-1] + 1
            for one in readings
            for row, places in zip(one.rows, one.positions, strict=True)
            if places
        }
        rows = []
        for number in sorted(self.rows):
            row = self.rows[number]
            read_ids = (*row.encoded.ids, *row.completion)[: max(row.read_length, reached.get(number, 0))]
            rows.append(RowOutcome(number, read_ids, row.prompt_length, tuple(row.completion), row.finish))
        return tuple(rows)

    def outcome(self) -> Outcome:
        rows = self.row_outcomes()
        return Outcome(
            rows,
            tuple(self.readings),
            tuple(self.gradients),
            held_rows(self.program.stages[-1], rows, self.kept),
        )
