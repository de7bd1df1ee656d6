"""What is refused before it serves anyone: releases that were not tested, models that do not prove themselves."""

import subprocess
import sys

import pytest

from interp_magics.engine.vllm_engine import starting
from interp_magics.errors import RequestError
from tests import checkpoints

_LOAD = """
import sys
from dataclasses import replace
import interp_magics.engine.vllm_engine.load as loading
from interp_magics.errors import RequestError
from interp_magics.launch.config import ModelSpec

find, adaptation = loading.find_readout, loading.adaptation
{broken}
try:
    card = loading.load(ModelSpec("tiny", sys.argv[1], dtype="float32", model_impl=sys.argv[2])).card
except RequestError as error:
    print("refused:", error)
else:
    print("missing:", card.missing)
"""

#: A family with a site elsewhere.
_MOVED = """
def moved(model):
    adapt = adaptation(model)
    return lambda *given: replace(adapt(*given), {place})

loading.adaptation = moved
"""


def loaded(path, broken, model_impl="auto"):
    command = [sys.executable, "-c", _LOAD.format(broken=broken), str(path), model_impl]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200).stdout


def test_a_release_that_was_not_tested_is_refused_by_name(monkeypatch):
    assert starting.installed_version().startswith("0.32")
    monkeypatch.setattr(starting, "version", lambda name: "0.99.1")
    with pytest.raises(
        RequestError, match=r"vLLM 0\.99\.1 was not tested: .* 0\.32 up to but not including 0\.33; install one"
    ):
        starting.installed_version()
    monkeypatch.setattr(starting, "_DISTRIBUTIONS", ())
    with pytest.raises(RequestError, match="the vLLM engine needs vLLM: pip install vllm"):
        starting.installed_version()


def test_a_model_whose_lens_is_not_what_is_sampled_from_is_refused(root):
    path = checkpoints.make("qwen3", root, sizes=checkpoints.WIDE)
    said = loaded(path, "loading.find_readout = lambda *given: replace(find(*given), scale=1.01)")
    assert "refused: Qwen3ForCausalLM is not served: the lens of its last layer differs" in said
    assert "serve it with --engine transformers" in said


def test_a_site_whose_module_is_never_run_is_taken_off_the_card_and_one_that_does_not_add_up(root):
    path = checkpoints.make("qwen3", root, sizes=checkpoints.WIDE)
    said = loaded(path, _MOVED.format(place='head_out="self_attn.attn"'), "transformers")
    assert "'head_out': 'vLLM does not run it as a module of its own (no pass came by)'" in said
    for model_impl in ("transformers", "vllm"):
        said = loaded(path, _MOVED.format(place='mlp_out="input_layernorm"'), model_impl)
        assert "what its modules put out does not add up to the stream" in said


def test_a_family_whose_own_modules_are_not_known_is_refused_by_name(root):
    path = checkpoints.make("olmo2", root, sizes=checkpoints.WIDE)
    said = loaded(path, "", "vllm")
    assert "refused: where 'olmo2' has its sites in vLLM's own modules is not known (it is for gemma2, " in said
