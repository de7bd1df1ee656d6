"""What is refused of a model before any process starts."""

import pytest

from interp_magics.errors import RequestError
from interp_magics.launch.checks import check_model
from interp_magics.launch.config import ModelSpec


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tp": 0}, "one rank or more"),
        ({"pp": 2}, "more than one for engine vllm alone"),
        ({"engine": "vllm", "steering_slots": 4}, "need engine vllm and --compiled"),
        ({"compiled": True, "steering_slots": 4}, "need engine vllm and --compiled"),
        ({"engine": "vllm", "compiled": True, "steering_slots": -1}, "steering_slots=-1"),
    ],
)
def test_what_an_engine_cannot_have_is_refused(given, said):
    with pytest.raises(RequestError, match=said):
        check_model(ModelSpec("x", "nowhere", **given))
