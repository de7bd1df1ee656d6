"""Which rows of a stage copy from which: an order in which they can be run one after another."""

from graphlib import CycleError, TopologicalSorter

from ..errors import RequestError
from .language import Edit, Stage
from .operations import Copy


def sources(stage: Stage, rows: int) -> dict[int, set[int]]:
    """Of each row that copies the rows that it copies from, itself left out; `rows` are those of the program."""
    found: dict[int, set[int]] = {}
    for edit, op in _copies(stage):
        for row in _targets(stage, edit, rows):
            if row != op.row:
                found.setdefault(row, set()).add(op.row)
    return found


def check_order(stage: Stage, rows: int) -> None:
    """Raise RequestError unless each row could run after those that it copies from, and each position after that which it
    copies in its own row."""
    try:
        TopologicalSorter(sources(stage, rows)).prepare()
    except CycleError as error:
        circle = " from ".join(f"row {row}" for row in error.args[1][::-1])
        raise RequestError(f"rows copy from one another ({circle}), so that all must pass together") from None
    for edit, op in _copies(stage):
        later = [pair for pair in op.positions or () if pair[1] > pair[0]]
        if later and op.row in _targets(stage, edit, rows):
            raise RequestError(
                f"position {later[0][0]} of row {op.row} copies the later position {later[0][1]} of the same row, so that both must pass "
                "together"
            )


def _copies(stage: Stage) -> list[tuple[Edit, Copy]]:
    return [(edit, edit.op) for edit in stage.edits if isinstance(edit.op, Copy)]


def _targets(stage: Stage, edit: Edit, rows: int) -> tuple[int, ...]:
    taking = tuple(range(rows)) if stage.rows is None else stage.rows
    return tuple(row for row in taking if edit.rows is None or row in edit.rows)
