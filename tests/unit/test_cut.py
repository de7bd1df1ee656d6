"""What is kept of a pass is what its readers want, and a row is put together again whatever the passes were."""

import sys

import pytest
import torch

from interp_magics.engine.execution.batch import Pass
from interp_magics.engine.execution.readers import NOBODY, WHOLE, Groups
from interp_magics.engine.execution.records import Record, part_of

END = sys.maxsize


def values(call, rows):
    """A tensor [rows, columns, 1] in which each place says which position of which member it is: 100 m + p."""
    made = torch.full((rows, call.width, 1), -1.0)
    for index, member in enumerate(call.members):
        call.of(index, made)[:] = (100 * member + call.starts[index] + torch.arange(call.counts[index]))[:, None]
    return made


def recorded(spans, *calls):
    record = Record(1, readers=Groups().wider(NOBODY, spans))
    for call in calls:
        cut = call.cut(spans)
        if cut.part.members:
            record.add(*part_of(call, values(call, 1 + max(call.rows)), cut))
    return record


PADDED = Pass.padded((0, 1, 2), (0, 0, 0), (4, 0, 2), 6)
STEP = Pass.padded((0, 2), (2, 4), (0, 0), 1)
FLAT = Pass((0, 1, 2), (0, 0, 0), (0, 0, 0), (0, 2, 8), (2, 6, 4))


@pytest.mark.parametrize("first", [PADDED, FLAT])
@pytest.mark.parametrize(
    ("span", "of", "wanted"),
    [
        ((1, 2), 0, [1]),
        ((1, END), 0, [1, 2]),
        ((5, 6), 1, [5]),
        ((2, 4), 1, [2, 3]),
        (WHOLE, 2, [0, 1, 2, 3, 4]),
        ((3, END), 2, [3, 4]),
    ],
)
def test_a_row_is_what_its_span_says(first, span, of, wanted):
    record = recorded({of: span, 1: (5, 6)} if of != 1 else {1: span}, first, STEP)
    assert record.row(of)[:, 0].tolist() == [100 * of + p for p in wanted]
    assert record.first(of) == wanted[0]


def test_what_is_kept_is_a_copy_of_little_or_all_by_reference():
    whole = values(PADDED, 3)
    last = {0: (1, 2), 1: (5, 6), 2: (3, 4)}
    call, kept = part_of(PADDED, whole, PADDED.cut(last))
    assert kept.shape == (3, 1, 1) and kept.untyped_storage().nbytes() == 12
    assert call == Pass((0, 1, 2), (1, 5, 3), (0, 1, 2), (0, 0, 0), (1, 1, 1))
    most = dict.fromkeys((0, 1, 2), WHOLE)
    assert part_of(PADDED, whole, PADDED.cut(most)) == (PADDED, whole)


def test_rows_that_share_their_beginning_are_read_from_it_each_in_its_span():
    shared = Pass((1,), (0,), (0,), (0,), (6,), followers={7: 0})
    own = Pass.padded((1, 7), (6, 6), (0, 0), 2)
    record = recorded({1: (0, 2), 7: (7, END)}, shared, own)
    assert record.row(1)[:, 0].tolist() == [100, 101]
    assert record.row(7)[:, 0].tolist() == [707]
    assert recorded({7: (2, 7)}, shared, own).row(7)[:, 0].tolist() == [102, 103, 104, 105, 706]


def test_a_row_of_which_nothing_passed_is_empty_where_others_did():
    record = recorded({0: (9, END), 1: WHOLE}, PADDED)
    assert record.row(0).shape == (0, 1) and record.first(0) == 9


def test_readers_of_the_same_are_the_same():
    groups, spans = Groups(), {1: (0, 4), 2: (3, 4)}
    first = groups.wider(NOBODY, spans)
    assert groups.wider(NOBODY, spans) is first
    wider = groups.wider(first, {2: (1, 2)})
    assert wider.spans == {1: (0, 4), 2: (1, 4)}
    left = groups.without([first, wider, first], frozenset({1}))
    assert left[first].spans == {2: (3, 4)} and left[wider].spans == {2: (1, 4)}
    assert groups.without([left[first]], frozenset({1}))[left[first]] is left[first]
