"""A task on its way through the stages of its program."""

from dataclasses import dataclass, field

from ...errors import RequestError
from ...program.language import Program
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
    kept: dict[str, Kept] = field(default_factory=dict)
    readings: list[tuple[Reading, ...]] = field(default_factory=list)
    gradients: list[tuple[GradientReading, ...]] = field(default_factory=list)
    rows: dict[int, BatchRow] = field(default_factory=dict)
    error: RequestError | None = None

    def row_outcomes(self) -> tuple[RowOutcome, ...]:
        """The rows as they are now."""
        rows = []
        for number in sorted(self.rows):
            row = self.rows[number]
            read_ids = (*row.encoded.ids, *row.completion[:-1])
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
