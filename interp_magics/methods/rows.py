"""The texts of a call as programs: one each, so that rows run and fail alone, or one for all where rows copy from others."""

from collections.abc import Sequence

from ..program.language import Edit, Program, Row, Sampling, Stage, Tap, Text, replace
from ..program.operations import Copy
from .generate.request import GenerateRequest
from .lens.request import LensRequest


def programs(
    texts: Sequence[Text], taps: Sequence[Tap], edits: Sequence[Edit], sampling: Sampling | None, first: int
) -> tuple[Program, ...]:
    """Programs whose rows, taken in order, are `texts`; edits keep to the rows of the call that they name, of which the
    first text is number `first`."""
    rows = tuple(
        Row(text, None if sampling is None else replace(sampling, row=i)) for i, text in enumerate(texts, first)
    )
    if any(isinstance(edit.op, Copy) for edit in edits):
        return (Program(rows, (Stage(tuple(taps), tuple(edits)),)),)
    return tuple(Program((row,), (Stage(tuple(taps), _of_row(edits, i)),)) for i, row in enumerate(rows, first))


def alone(request: LensRequest | GenerateRequest, number: int) -> LensRequest | GenerateRequest:
    """What a request says of its text `number` alone; all of it where rows copy from others."""
    if any(isinstance(edit.op, Copy) for edit in request.steer):
        return request
    return replace(request, texts=(request.texts[number],), first=request.first + number)


def _of_row(edits: Sequence[Edit], row: int) -> tuple[Edit, ...]:
    return tuple(replace(edit, rows=None) for edit in edits if edit.rows is None or row in edit.rows)
