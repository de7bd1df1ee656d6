"""Rows that are run one after another copy only from rows before them, and from positions before in their own."""

import pytest

from interp_magics.errors import RequestError
from interp_magics.program.copies import check_order, sources
from interp_magics.program.language import At, Edit, Stage
from interp_magics.program.operations import Copy


def stage(*edits, rows=None):
    return Stage((), edits, rows=rows)


def test_a_chain_has_an_order_and_a_row_that_copies_itself_needs_none():
    chain = stage(Edit("q", 0, Copy(0), rows=(1, 0)), Edit("q", 1, Copy(1), rows=(2,)))
    assert sources(chain, 3) == {1: {0}, 2: {1}}
    check_order(chain, 3)
    assert sources(stage(Edit("q", 0, Copy(0)), rows=(0, 2)), 3) == {2: {0}}


def test_a_circle_is_refused_with_its_rows():
    circle = stage(*(Edit("q", 0, Copy(one), rows=(other,)) for one, other in ((0, 1), (1, 2), (2, 0))))
    with pytest.raises(
        RequestError, match=r"rows copy from one another \(row \d from row \d from row \d from row \d\)"
    ):
        check_order(circle, 3)


def test_a_later_position_of_the_same_row_is_refused():
    check_order(stage(Edit("q", 0, Copy(0, ((4, 2),)), At((4,)), rows=(0,))), 2)
    check_order(stage(Edit("q", 0, Copy(0, ((2, 4),)), At((2,)), rows=(1,))), 2)
    with pytest.raises(RequestError, match="position 2 of row 0 copies the later position 4 of the same row"):
        check_order(stage(Edit("q", 0, Copy(0, ((2, 4),)), At((2,)))), 2)
