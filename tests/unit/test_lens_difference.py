"""Two runs of a lens beside each other: which cells are compared, and what is said of them."""

import numpy as np
import pytest

from interp_magics.data.lens_difference import difference
from interp_magics.data.lens_run import LensMeta, LensRun
from interp_magics.data.provenance import Provenance
from interp_magics.errors import RequestError

VOCABULARY = 40


def run(ids, prompt=None, layers=(0, 1, 2), k=5, seed=0, sites=("resid_post",), depth=3, vocabulary=VOCABULARY):
    """A run of random distributions; the whole of each is given back beside its top k."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(len(sites), len(layers), len(ids), vocabulary)) * 2
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    order = np.argsort(-logprobs, axis=-1)[..., :k].astype(np.int32)
    prompt = len(ids) if prompt is None else prompt
    provenance = Provenance(
        model="m",
        revision="",
        digest="a" * 64,
        tokenizer="t",
        dtype="float32",
        engine="transformers",
        request={},
        versions={},
    )
    meta = LensMeta("logit", layers, sites, 0, prompt, "text", "", "prompt", vocabulary, {}, provenance, None, depth)
    none = np.zeros((*order.shape[:3], 0), np.float32)
    made = LensRun(
        meta,
        np.array(ids, np.int32),
        np.arange(len(ids), dtype=np.int32),
        np.array(ids[prompt:], np.int32),
        order,
        np.take_along_axis(logprobs, order, -1).astype(np.float32),
        None,
        None,
        np.zeros(0, np.int32),
        none,
        none.astype(np.int32),
    )
    return made, logprobs


def test_a_difference_is_exact_where_the_base_has_the_token_and_a_lower_bound_elsewhere():
    (one, mine), (two, theirs) = run(range(6), seed=1), run(range(6), seed=2)
    made = difference(one, two)
    top = one.top_ids[..., :1]
    true = (np.take_along_axis(mine, top, -1) - np.take_along_axis(theirs, top, -1))[..., 0]
    assert made.exact.any() and not made.exact.all()
    assert np.abs(made.delta - true)[made.exact].max() < 1e-5
    assert (made.delta - 1e-5 <= true)[~made.exact].all()


def test_with_the_whole_vocabulary_every_difference_is_exact_and_with_itself_it_is_nothing():
    (one, _), (two, _) = run(range(6), seed=1, k=VOCABULARY), run(range(6), seed=2, k=VOCABULARY)
    assert difference(one, two).exact.all()
    assert not difference(one, one).delta.any()


def test_prompts_are_compared_where_they_share_tokens_or_exchange_as_many():
    (one, _), (two, _) = run([1, 2, 3, 9, 4, 5]), run([1, 2, 3, 7, 4, 5])
    assert difference(one, two).base_rows.tolist() == [0, 1, 2, 3, 4, 5]
    (longer, _) = run([1, 2, 3, 8, 8, 4, 5])
    assert difference(one, longer).base_rows.tolist() == [0, 1, 2, -1, 5, 6]
    assert np.isnan(difference(one, longer).delta[0, :, 3]).all()


def test_generated_tokens_stand_in_the_order_in_which_they_came():
    (one, _), (two, _) = run([1, 2, 3, 9, 9, 9], prompt=3), run([1, 2, 7, 7], prompt=2)
    assert difference(one, two).base_rows.tolist() == [0, 1, -1, 2, 3, -1]


def test_layers_of_models_of_other_depth_stand_at_the_same_share_of_it():
    (one, _), (two, _) = run(range(4)), run(range(4), layers=tuple(range(7)), depth=7)
    assert difference(one, two).base_layers.tolist() == [0, 3, 6]


def test_a_layer_is_compared_with_itself_and_with_no_other():
    (one, _), (two, _) = run(range(4), layers=(0, 3, 5), depth=6), run(range(4), layers=(3, 4, 5), depth=6)
    made = difference(one, two)
    assert made.base_layers.tolist() == [-1, 0, 2] and np.isnan(made.delta[0, 0]).all()
    assert not np.isnan(made.delta[0, 1:]).any()
    with pytest.raises(RequestError, match="no layer, in common"):
        difference(run(range(4), layers=(1,))[0], run(range(4), layers=(2,))[0])


def test_runs_that_cannot_be_compared_are_refused():
    (one, _) = run(range(4), sites=("resid_post", "mlp_out"))
    with pytest.raises(RequestError, match="did not decode mlp_out"):
        difference(one, run(range(4))[0])
    with pytest.raises(RequestError, match="different tokenizers"):
        difference(run(range(4))[0], run(range(4), vocabulary=50)[0])
