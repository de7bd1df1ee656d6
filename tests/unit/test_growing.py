"""A text that is sent while it grows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_magics.gateway.growing import Growing


@given(st.text("ab\ufffd", max_size=12), st.lists(st.text("ab", min_size=1, max_size=3), max_size=2), st.data())
def test_what_is_sent_is_the_whole_text_whatever_was_seen_of_it(text, stop, data):
    whole = text[: min((place for one in stop if (place := text.find(one)) >= 0), default=len(text))]
    growing = Growing(stop)
    ends = data.draw(st.lists(st.integers(0, len(text)), max_size=6).map(sorted))
    sent = [growing.more(text[:end]) for end in ends]
    assert "".join(sent) + growing.rest(whole) == whole


@pytest.mark.parametrize(
    ("seen", "sent"), [("one ST", "one "), ("one STOP two", "one "), ("one S\ufffd", "one "), ("one SO", "one SO")]
)
def test_what_may_become_a_stop_is_kept_back(seen, sent):
    assert Growing(["STOP"]).more(seen) == sent


def test_a_text_that_is_another_is_not_sent_after_the_first():
    growing = Growing()
    assert growing.more("one two") == "one two"
    assert growing.more("another") == "" and growing.rest("another") is None
