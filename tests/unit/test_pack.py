"""What the widget is sent, and the static views of it."""

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from interp_widgets._pack import pack, quantise
from interp_widgets._text import visible


@given(hnp.arrays(np.float32, st.integers(0, 50), elements=st.floats(-40, 0, width=32)))
def test_quantised_values_are_within_half_a_step(values):
    made = quantise(values)
    back = made.codes * made.scale + made.base
    assert np.abs(back - values).max(initial=0) <= made.scale / 2 + 1e-6


def test_a_layout_says_where_each_array_lies():
    arrays = {"a": np.arange(3, dtype=np.uint8), "b": np.arange(4, dtype=np.uint32)}
    data, layout = pack(arrays)
    assert layout["b"]["offset"] == 8
    assert np.array_equal(np.frombuffer(zlib.decompress(data), np.uint32, 4, 8), arrays["b"])


def test_nothing_in_a_token_is_invisible_or_reorders_the_rest():
    shown = visible("a\u202eb\u200b \n\x00")
    assert shown == "a⟨202E⟩b⟨200B⟩·↵⟨0000⟩"
