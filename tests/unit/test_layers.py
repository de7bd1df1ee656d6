import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_magics.errors import RequestError
from interp_magics.program.layers import parse_layers


@pytest.mark.parametrize(
    ("spec", "layers"),
    [
        (None, (0, 1, 2, 3, 4, 5, 6, 7)),
        ("0,4,6:", (0, 4, 6, 7)),
        ("-1", (7,)),
        ("::4", (0, 4)),
        ("-4:", (4, 5, 6, 7)),
        ("2:2,3", (3,)),
        (5, (5,)),
        ([1, -1, 1], (1, 7)),
        ("6:2:-2", (6, 4)),
    ],
)
def test_a_specification_chooses_layers_in_the_order_written(spec, layers):
    assert parse_layers(spec, 8) == layers


@pytest.mark.parametrize("spec", ["8", "-9", "x", "1.5", "::0", "1:2:3:4", "", "3:3", "9:", True, [1.5]])
def test_what_is_no_choice_of_layers_is_refused_with_an_example(spec):
    with pytest.raises(RequestError):
        parse_layers(spec, 8)


@given(st.integers(1, 90), st.text("0123456789:,- ", max_size=12))
def test_any_text_gives_valid_layers_or_a_request_error(count, text):
    try:
        layers = parse_layers(text, count)
    except RequestError:
        return
    assert layers and all(0 <= layer < count for layer in layers)
