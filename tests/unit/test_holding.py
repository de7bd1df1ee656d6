"""Programs join what runs on the production engine while there is room for their rows, and for what they hold."""

import pytest

from interp_magics.engine.vllm_engine.holding import Room, held_bytes
from interp_magics.program.cards import SiteInfo
from interp_magics.program.language import Ids, Lens, Program, Row, Sampling, Stage, Tap
from tests.unit.test_book import card

CARD = card(dtype="bfloat16", sites={"resid_post": SiteInfo((64,), 4), "q": SiteInfo((4, 8), 4)})


def program(*stages, rows=2):
    return Program((Row(Ids((1, 0))),) * (rows - 1) + (Row(Ids((1,)), Sampling(10)),), stages)


def test_what_is_held_is_what_the_largest_stage_reads():
    small, large = Stage((Tap("q", (0,)),), rows=(0,)), Stage((Tap("resid_post"), Tap("q", (1, 2))))
    tokens = 100 + (50 + 9)
    assert held_bytes(program(small, large), (100, 50), CARD) == 2 * tokens * (4 * 64 + 2 * 32)
    assert held_bytes(program(small), (100, 50), CARD) == 2 * 100 * 32
    assert held_bytes(program(Stage(())), (100, 50), CARD) == 0


def test_a_lens_holds_a_stretch_unless_it_is_kept():
    lens, kept = (program(Stage((Tap("resid_post", reduce=Lens(), keep=keep),))) for keep in (None, "kept"))
    assert held_bytes(kept, (9000, 1), CARD) > 4 * held_bytes(lens, (9000, 1), CARD)


@pytest.mark.parametrize(
    ("rows", "held", "joins"), [(0, 0, [True, True, False]), (1023, 0, [False]), (0, 1, [True, False])]
)
def test_nothing_joins_for_which_there_is_no_room(rows, held, joins):
    one = program(Stage((Tap("resid_post"),)))
    most = 2 * held_bytes(one, (3, 4), CARD)
    room = Room(rows, held, most, CARD, lambda program: (3, 4))
    assert [room.take([one]) for _ in joins] == joins
