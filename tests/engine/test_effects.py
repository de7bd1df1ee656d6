"""What directions do to the logits, beside the formula of each family's norm in float64."""

import pytest
import torch

from interp_magics.engine.execution.effects import effects, linear

#: Of a norm's weight g and a direction w: what the head reads of w at size 1.
FORMULAS = {
    "qwen3": lambda g, w: g * w,
    "gemma2": lambda g, w: (1 + g) * w,
    "gpt2": lambda g, w: g * (w - w.mean(1, keepdim=True)),
    "gpt_neox": lambda g, w: g * (w - w.mean(1, keepdim=True)),
}


@pytest.fixture
def readout(request, engine):
    """A readout whose norm has weights (and a bias, where it has one) that a formula must heed."""
    found = engine(request.param)._runner.readout
    kept = {name: value.detach().clone() for name, value in found.norm.named_parameters()}
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in found.norm.parameters():
            value.copy_(torch.rand(value.shape, generator=draw) + 0.5)
    yield request.param, found
    with torch.no_grad():
        for name, value in found.norm.named_parameters():
            value.copy_(kept[name])


@pytest.mark.parametrize("readout", FORMULAS, indirect=True)
def test_effects_are_those_of_the_norms_linear_part(readout):
    family, found = readout
    w = torch.randn(9, found.weight.shape[1], generator=torch.Generator().manual_seed(2))
    wanted = FORMULAS[family](found.norm.weight.double(), w.double())
    with torch.inference_mode():
        assert torch.allclose(linear(w, found).double(), wanted, atol=1e-4)
        logits = wanted @ found.weight.double().T * found.scale
        logits -= logits.mean(1, keepdim=True)
        ids, values = effects(w, found, 5)
    assert torch.allclose(values[:, :5].double(), logits.topk(5, 1).values, atol=1e-3)
    assert torch.allclose(-values[:, 5:].double(), (-logits).topk(5, 1).values, atol=1e-3)
    assert torch.allclose(logits.gather(1, ids), values.double(), atol=1e-3)
