"""Two models of one pool, compared: every number beside one that transformers gives."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import interp_magics as im
from tests import checkpoints
from tests.pool.served import serving

TEXT = "The quick brown fox jumps over the dog"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    deeper = checkpoints.make("llama", root, sizes={"num_hidden_layers": 5})
    return {"three": checkpoints.make("qwen3", root), "five": deeper}


def by_hand(path, ids):
    """[layers, tokens, vocabulary]: log-probabilities of the stream after each layer, in float64."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64).eval()
    streams = []
    for block in model.model.layers:
        block.register_forward_hook(lambda module, inputs, output: streams.append(output))
    with torch.no_grad():
        model(torch.tensor([ids]))
        return np.stack([model.lm_head(model.model.norm(s[0])).log_softmax(-1).numpy() for s in streams])


def test_each_cell_is_the_difference_of_what_two_models_say_of_a_token(models, tmp_path):
    named = [word for name, path in models.items() for word in ("--model", f"{name}={path}")]
    with serving(tmp_path / "pool", *named, "--port", "0") as served, im.connect(str(served.connection)) as pool:
        runs = {name: pool.lens(TEXT, model=name, top_k=checkpoints.VOCABULARY) for name in models}
        short = pool.lens(TEXT, model="five", top_k=1)
    difference = runs["three"].minus(runs["five"])
    ids = runs["three"].token_ids.tolist()
    ours, theirs = (by_hand(models[name], ids) for name in ("three", "five"))
    top = runs["three"].top_ids[0, :, :, 0]
    tokens = np.arange(len(ids))
    for layer, beside in enumerate((0, 2, 4)):
        expected = ours[layer, tokens, top[layer]] - theirs[beside, tokens, top[layer]]
        np.testing.assert_allclose(difference.delta[0, layer], expected, atol=1e-4)
    assert difference.exact.all()
    bound = runs["three"].minus(short)
    assert (bound.delta <= difference.delta + 1e-4).all() and not bound.exact.all()
