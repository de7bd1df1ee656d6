"""The growing cache is transformers' own in all but the copies."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Gemma2Config, LlamaConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from interp_magics.engine.transformers_engine.cache import GrowingLayer, new_cache

_STEPS = st.lists(st.one_of(st.integers(1, 90), st.just("select")), min_size=1, max_size=12)


@given(_STEPS, st.integers(0, 2**31))
def test_it_holds_what_concatenation_holds(steps: list[int | str], seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    ours, theirs, rows = GrowingLayer(), DynamicLayer(), 3
    for step in steps:
        if step == "select":
            kept = torch.arange(max(1, rows - 1)).flip(0)
            rows = len(kept)
            for layer in (ours, theirs):
                layer.batch_select_indices(kept)
            continue
        keys, values = torch.randn(2, rows, 2, int(step), 4, generator=draw).unbind(0)
        for mine, wanted in zip(ours.update(keys, values), theirs.update(keys, values), strict=True):
            assert torch.equal(mine, wanted)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_a_step_writes_only_its_own_tokens() -> None:
    layer, one = GrowingLayer(), torch.randn(1, 2, 1, 4)
    layer.update(torch.randn(1, 2, 40, 4), torch.randn(1, 2, 40, 4))
    first, _ = layer.update(one, one)
    second, _ = layer.update(one, one)
    assert first.data_ptr() == second.data_ptr()


def test_windows_stay_transformers_own() -> None:
    kinds = [type(layer) for layer in new_cache(Gemma2Config(num_hidden_layers=4)).layers]
    assert kinds == [DynamicSlidingWindowLayer, GrowingLayer] * 2
    assert {type(layer) for layer in new_cache(LlamaConfig(num_hidden_layers=3)).layers} == {GrowingLayer}
