"""Training dictionaries: planted truths, exact resumption, what is refused."""

import numpy as np
import pytest
import torch

from interp_magics.data.fidelity import fidelity
from interp_magics.engine.dictionaries.finished import finished
from interp_magics.engine.dictionaries.states import from_tensors, to_tensors
from interp_magics.engine.dictionaries.trainer import Trainer, begin
from interp_magics.errors import RequestError
from interp_magics.program.dictionaries import TRAINED, Recipe

CPU = torch.device("cpu")
WIDTH, TRUE = 32, 64


def planted(rows, seed=0, active=3.0, mean=1.0):
    """Rows that are sums of a few of TRUE unit directions around a mean; and the directions."""
    directions = torch.nn.functional.normalize(
        torch.randn(TRUE, WIDTH, generator=torch.Generator().manual_seed(99)), dim=1
    )
    draw = torch.Generator().manual_seed(seed)
    on = torch.rand(rows, TRUE, generator=draw) < active / TRUE
    return (on * (1 + torch.rand(rows, TRUE, generator=draw))) @ directions + mean, directions


def trained(recipe, x, slices=4, y=None):
    pieces = list(zip(x.chunk(slices), [None] * slices if y is None else y.chunk(slices), strict=True))
    trainer = begin(recipe, *pieces[0], CPU)
    for x_, y_ in pieces:
        for _ in trainer.learn(x_, y_):
            pass
    return trainer


def recovery(dictionary, directions):
    """The mean over true directions of the largest cosine with a decoder row."""
    return float((directions.numpy() @ dictionary.W_dec.T).max(1).mean())


RECIPES = {
    "relu": {"sparsity": 0.5},
    "topk": {"k": 4},
    "batch_topk": {"k": 4},
    "matryoshka": {"k": 4, "groups": (64, 96)},
    "jumprelu": {"sparsity": 0.5},
    "gated": {"sparsity": 2.0},
}


@pytest.mark.parametrize("architecture", TRAINED)
def test_a_planted_dictionary_is_found_and_a_random_one_is_not_good(architecture):
    x, directions = planted(120_000)
    test, _ = planted(8_000, seed=1)
    recipe = Recipe(96, architecture, tokens=len(x), batch=500, dtype="float32", **RECIPES[architecture])
    trainer = trained(recipe, x)
    made = finished(recipe, trainer.state, {})
    found = fidelity(made, test.numpy())
    assert found.fvu < 0.13 and found.l0 < 16 and found.dead <= 0.4
    assert recovery(made, directions) > 0.9
    if architecture in ("batch_topk", "matryoshka"):
        assert abs(found.l0 - 4) < 0.3
    assert np.allclose(np.linalg.norm(made.W_dec, axis=1), 1, atol=1e-5)
    first = finished(recipe, begin(recipe, torch.randn(1000, WIDTH), None, CPU).state, {})
    assert fidelity(first, test.numpy()).fvu > 0.5 and recovery(first, directions) < 0.6


def test_half_precision_finds_it_too():
    x, directions = planted(120_000)
    recipe = Recipe(96, "batch_topk", k=4, tokens=len(x), batch=500, dtype="bfloat16")
    assert recovery(finished(recipe, trained(recipe, x).state, {}), directions) > 0.9


@pytest.mark.parametrize("given", [{"architecture": "batch_topk", "k": 12}, {"architecture": "relu", "sparsity": 0.1}])
def test_a_transcoder_learns_a_map(given):
    """y = A relu(B x): what one site says of another."""
    draw = torch.Generator().manual_seed(5)
    x, _ = planted(100_000)
    a, b = (torch.randn(WIDTH, 24, generator=draw), torch.randn(24, 20, generator=draw))
    y = (x @ a / 6 - 0.5).relu() @ b + 3.0
    recipe = Recipe(128, tokens=len(x), batch=500, site="ln_mlp", site_out="mlp_out", dtype="float32", **given)
    trainer = trained(recipe, x, y=y)
    made = finished(recipe, trainer.state, {})
    wrote = made.reconstruct(x[:4000].numpy())
    left = ((wrote - y[:4000].numpy()) ** 2).sum() / ((y[:4000] - y[:4000].mean(0)) ** 2).sum().item()
    assert left < 0.15 and made.transcodes


@pytest.mark.parametrize("architecture", TRAINED)
def test_a_copy_of_the_state_goes_on_bit_by_bit(architecture):
    x, _ = planted(12_000)
    recipe = Recipe(96, architecture, k=3, tokens=len(x), batch=500, dead_after=1500, dtype="float32")
    whole = trained(recipe, x)
    trainer = begin(recipe, x.chunk(4)[0], None, CPU)
    for number, some in enumerate(x.chunk(4)):
        if number == 2:
            trainer = Trainer(recipe, from_tensors(to_tensors(trainer.state), CPU))
        for _ in trainer.learn(some):
            pass
    one, other = to_tensors(whole.state), to_tensors(trainer.state)
    assert set(one) == set(other)
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("architecture", ["relu", "jumprelu", "gated"])
def test_latents_that_nothing_reaches_fire_again_before_they_are_dead(architecture):
    """Their biases are so low that they fire on no row."""
    x, _ = planted(30_000)
    recipe = Recipe(96, architecture, sparsity=1.0, tokens=len(x), batch=250, dead_after=20_000, dtype="float32")
    trainer = begin(recipe, x, None, CPU)
    silent = trainer.state.weights["b_enc"]
    silent[:12] = -3.0
    for _ in trainer.learn(x):
        pass
    assert (trainer.state.since[:12] < recipe.window).all()


def test_the_error_of_a_slice_is_that_of_the_definition():
    x, _ = planted(2_000)
    recipe = Recipe(96, "topk", k=3, tokens=len(x), batch=2_000, learning_rate=1e-9, dtype="float32")
    trainer = begin(recipe, x, None, CPU)
    before = fidelity(finished(recipe, trainer.state, {}), x.numpy())
    for _ in trainer.learn(x):
        pass
    assert trainer.tally.fvu == pytest.approx(before.fvu, rel=1e-4)
    assert trainer.l0() == pytest.approx(before.l0, rel=1e-4)


def test_what_nothing_can_be_learned_from_is_refused():
    recipe = Recipe(96, "topk", k=3, layer=7)
    with pytest.raises(RequestError, match=r"all the same.*another site or layer"):
        begin(recipe, torch.ones(500, WIDTH), None, CPU)
    with pytest.raises(RequestError, match="all the same"):
        begin(recipe, torch.randn(1, WIDTH), None, CPU)
    broken = torch.randn(500, WIDTH)
    broken[3, 4] = float("nan")
    with pytest.raises(RequestError, match=r"1 of 500 activations.*layer 7 are not finite"):
        begin(recipe, broken, None, CPU)
    trainer = begin(recipe, torch.randn(500, WIDTH), None, CPU)
    kept = to_tensors(trainer.state)["weights/encoder"].clone()
    with pytest.raises(RequestError, match="not finite"):
        next(trainer.learn(broken))
    assert torch.equal(to_tensors(trainer.state)["weights/encoder"], kept)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"architecture": "topkk"}, "did you mean.*topk"),
        ({"k": 97}, "k=97 is more than the dictionary has latents"),
        ({"latents": 0}, "latents must be 1 or more"),
        ({"sparsity": -1.0}, "sparsity must be 0 or more"),
        ({"sparsity": float("nan")}, "sparsity must be a finite number"),
        ({"architecture": "matryoshka", "groups": (50, 20, 96)}, "groups are growing prefixes that end with 96"),
        ({"warmup": 0.6, "decay": 0.6}, "together 1 at most"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(given, message):
    with pytest.raises(RequestError, match=message):
        Recipe(**{"latents": 96, **given})
