import numpy as np
import pytest

from interp_magics.errors import RequestError
from interp_magics.program.language import After, All, At, First, Generated, Last, Prompt, Span
from interp_magics.program.positions import resolve

IDS, OFFSETS, TEXT = (5, 6, 7, 8), ((0, 3), (3, 6), (6, 9), (9, 12)), "abcdefghijkl"


def chosen(positions, length=6, completion=(9, 7, 4)):
    return np.flatnonzero(resolve(positions, IDS, OFFSETS, TEXT).mask(0, length, completion)).tolist()


@pytest.mark.parametrize(
    ("positions", "wanted"),
    [
        (All(), [0, 1, 2, 3, 4, 5]),
        (First(), [0]),
        (Last(), [3]),
        (Prompt(), [0, 1, 2, 3]),
        (Generated(), [4, 5]),
        (At((1, -1)), [1, 3]),
        (Span("efg"), [1, 2]),
        (After(6), [2, 3, 4, 5]),
        (After(9), [5]),
        (After(1234), []),
    ],
)
def test_a_choice_of_positions_counts_from_the_first_real_token(positions, wanted):
    assert chosen(positions) == wanted


def test_a_mask_of_a_step_is_a_piece_of_the_whole():
    selection = resolve(After(6), IDS, OFFSETS, TEXT)
    whole = selection.mask(0, 6, (9, 7, 4))
    pieces = [selection.mask(i, i + 1, (9, 7, 4)) for i in range(6)]
    assert np.array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("positions", [At((4,)), At((-5,)), Span("zzz"), Span("")])
def test_what_is_outside_the_prompt_is_refused(positions):
    with pytest.raises(RequestError):
        resolve(positions, IDS, OFFSETS, TEXT)


def test_a_span_needs_a_text():
    with pytest.raises(RequestError, match="token ids"):
        resolve(Span("a"), IDS, None, "")
