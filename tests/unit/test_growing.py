"""A text that is sent while it grows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders

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


def _decoded(tokens):
    """As tokenizers decode whose unknown characters are bytes: all bytes in a row are broken by one that is no part of a character."""
    return decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()]).decode(list(tokens))


def _bytes(text):
    return [f"<0x{byte:02X}>" for byte in text.encode()]


@pytest.mark.parametrize(
    ("tokens", "sent"),
    [
        (["a", *_bytes("\N{GRINNING FACE}\N{MOUSE}"), "b"], "a\N{GRINNING FACE}\N{MOUSE}b"),
        (["a", *_bytes("\N{GRINNING FACE}"), *_bytes("\N{MOUSE}")[:2]], "a\N{GRINNING FACE}"),
        (["a", *_bytes("\N{GRINNING FACE}"), "<0x80>", "b", "c"], "a\N{GRINNING FACE}bc"),
        (["a", "<0x80>", "b"], "a\ufffdb"),
    ],
)
def test_characters_stay_as_they_were_sent_though_bytes_after_them_break_them(tokens, sent):
    growing = Growing()
    parts = [growing.more(_decoded(tokens[:end])) for end in range(1, len(tokens) + 1)]
    assert "".join(parts) + growing.rest(_decoded(tokens)) == sent
