"""Slots of the tables from which compiled steps add to the stream."""

import torch

from interp_magics.engine.execution.batch import Pass
from interp_magics.engine.execution.plan import BoundStage
from interp_magics.engine.execution.writing import BoundEdit
from interp_magics.engine.vllm_engine.tables import Tables
from interp_magics.program.language import All, At, Prompt
from interp_magics.program.positions import resolve


def _stage(*shifts, where=All(), member_rows=(0,)):
    selection = {row: resolve(where, range(4), None, "") for row in member_rows}
    edits = tuple(
        (address, BoundEdit(selection, None, None, shifts=dict.fromkeys(selection, v))) for address, v in shifts
    )
    return BoundStage(member_rows, edits, ())


def _call(*members):
    columns = tuple(4 * index for index in range(len(members)))
    return Pass(members, (0,) * len(members), (0,) * len(members), columns, (4,) * len(members))


def test_slots_are_given_back_and_hold_nothing_of_whom_they_were():
    tables = Tables([("resid_post", 0), ("resid_post", 1)], 1, 3, 16, torch.device("cpu"))
    first, second = torch.ones(3), torch.full((3,), 2.0)
    assert tables.take(_stage((("resid_post", 0), first)), {0: 7})
    assert not tables.take(_stage((("resid_post", 1), second)), {0: 8})
    tables.forget([7])
    assert tables.take(_stage((("resid_post", 1), second), where=At((1,))), {0: 9})
    tables.prepare(_call(5, 9))
    found = [torch.zeros(8, 3), torch.zeros(8, 3)]
    for layer, value in enumerate(found):
        tables.add(("resid_post", layer), value)
    assert not found[0].any()
    assert found[1].nonzero().tolist() == [[5, 0], [5, 1], [5, 2]]
    assert torch.equal(found[1][5], second)
    tables.forget([9])
    tables.prepare(_call(5, 9))
    tables.add(("resid_post", 1), value := torch.zeros(8, 3))
    assert not value.any()


def test_what_is_more_than_an_addition_at_one_choice_of_positions_is_left_to_edits():
    tables = Tables([("resid_post", 0), ("resid_post", 1)], 4, 3, 16, torch.device("cpu"))
    vector = torch.ones(3)
    here, there = (_stage((("resid_post", layer), vector)) for layer in (0, 1))
    later = _stage((("resid_post", 1), vector), where=Prompt())
    for edits in ((*here.edits, *later.edits), (*here.edits, *here.edits), _stage((("mlp_out", 0), vector)).edits):
        assert not tables.take(BoundStage((0,), edits, ()), {0: 1})
    clamped = BoundEdit(there.edits[0][1].selections, None, torch.sin)
    assert not tables.take(BoundStage((0,), (*here.edits, (("resid_post", 1), clamped)), ()), {0: 1})
    assert tables.take(BoundStage((0,), here.edits, ()), {0: 1})
