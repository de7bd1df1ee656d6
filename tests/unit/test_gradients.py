"""The closed-form gradients of dictionaries beside autograd on the losses as they are written down."""

import pytest
import torch

from interp_magics.engine.dictionaries import active, selection
from interp_magics.engine.dictionaries.dead import revive
from interp_magics.engine.dictionaries.gradients import encode, gradients, shared_threshold
from interp_magics.program.dictionaries import SHARING, TRAINED, Recipe

ROWS, WIDTH, OUT, LATENTS = 48, 12, 9, 40


def weights_of(architecture, out, seed=0):
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape, scale=1.0):
        return scale * torch.randn(*shape, generator=draw)

    made = {
        "encoder": normal(LATENTS, WIDTH, scale=0.4),
        "decoder": normal(LATENTS, out, scale=0.4),
        "b_enc": normal(LATENTS, scale=0.3),
        "b_dec": normal(out, scale=0.3),
    }
    if architecture == "jumprelu":
        made["log_threshold"] = normal(LATENTS, scale=0.3) - 1.0
    if architecture == "gated":
        made |= {"r_mag": normal(LATENTS, scale=0.2), "b_mag": normal(LATENTS, scale=0.2)}
    return made


class Step(torch.autograd.Function):
    """The step function of a threshold with the kernel of arXiv:2407.14435, equation 12."""

    @staticmethod
    def forward(ctx, h, threshold, bandwidth):
        ctx.save_for_backward(h, threshold)
        ctx.bandwidth = bandwidth
        return (h > threshold).double()

    @staticmethod
    def backward(ctx, grad):
        h, threshold = ctx.saved_tensors
        near = (((h - threshold) / ctx.bandwidth).abs() < 0.5).double()
        return None, (-near / ctx.bandwidth * grad).sum(0), None


class Jump(torch.autograd.Function):
    """JumpReLU with the kernel of arXiv:2407.14435, equation 11."""

    @staticmethod
    def forward(ctx, h, threshold, bandwidth):
        ctx.save_for_backward(h, threshold)
        ctx.bandwidth = bandwidth
        return h * (h > threshold)

    @staticmethod
    def backward(ctx, grad):
        h, threshold = ctx.saved_tensors
        near = (((h - threshold) / ctx.bandwidth).abs() < 0.5).double()
        return grad * (h > threshold), (-threshold / ctx.bandwidth * near * grad).sum(0), None


def loss_of(w, x, y, recipe, sparsity, alone=False):
    """The losses of the papers, in float64."""
    xc = x if y is not None else x - w["b_dec"]
    y = x if y is None else y
    h = xc @ w["encoder"].T + w["b_enc"]
    if recipe.architecture == "gated":
        gate = h.relu()
        magnitude = ((xc @ w["encoder"].T) * w["r_mag"].exp() + w["b_mag"]).relu()
        f = (h > 0) * magnitude
        frozen = gate @ w["decoder"].detach() + w["b_dec"].detach()
        return mean_square(y - f @ w["decoder"] - w["b_dec"]) + sparsity * per_row(gate) + mean_square(y - frozen)
    if recipe.architecture == "jumprelu":
        threshold = w["log_threshold"].exp()
        f = Jump.apply(h, threshold, recipe.bandwidth)
        count = Step.apply(h, threshold, recipe.bandwidth).sum() / len(x)
        return mean_square(y - f @ w["decoder"] - w["b_dec"]) + sparsity * count
    if recipe.architecture == "relu":
        f = h.relu()
        return mean_square(y - f @ w["decoder"] - w["b_dec"]) + sparsity * per_row(f)
    if recipe.architecture == "topk" or alone:
        keep = torch.zeros_like(h).scatter_(1, h.topk(recipe.k, 1).indices, 1.0)
    else:
        keep = torch.zeros(h.numel(), dtype=h.dtype)
        keep[h.flatten().topk(recipe.k * len(x)).indices] = 1.0
        keep = keep.view_as(h)
    f = h.relu() * keep
    losses = [mean_square(y - f[:, :end] @ w["decoder"][:end] - w["b_dec"]) for end in recipe.prefixes]
    return sum(losses) / len(losses)


def mean_square(residual):
    return residual.pow(2).sum() / len(residual)


def per_row(f):
    return f.sum() / len(f)


def close(ours, theirs):
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert (ours[name].double() - value).norm() <= 1e-5 * value.norm().clamp_min(1e-3), name


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("transcodes", [False, True])
@pytest.mark.parametrize("architecture", TRAINED)
def test_gradients_are_those_of_autograd(architecture, transcodes, dense, monkeypatch):
    monkeypatch.setattr(active, "DENSE", -1.0 if dense else 2.0)
    if architecture == "jumprelu":
        recipe = Recipe(LATENTS, architecture, bandwidth=0.4)
    else:
        recipe = Recipe(LATENTS, architecture, k=5, groups=(4, 15, LATENTS) if architecture == "matryoshka" else ())
    out = OUT if transcodes else WIDTH
    weights = weights_of(architecture, out)
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(ROWS, WIDTH, generator=draw)
    y = torch.randn(ROWS, out, generator=draw) if transcodes else None
    step = gradients(weights, encode(weights, x, y, torch.float32), recipe, 0.3)
    exact = {name: value.double().requires_grad_() for name, value in weights.items()}
    loss_of(exact, x.double(), None if y is None else y.double(), recipe, 0.3).backward()
    close(step.gradients, {name: value.grad for name, value in exact.items()})


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("architecture", SHARING)
def test_rows_that_choose_alone_have_the_gradients_of_autograd(architecture, dense, monkeypatch):
    monkeypatch.setattr(active, "DENSE", -1.0 if dense else 2.0)
    recipe = Recipe(LATENTS, architecture, k=5, groups=(4, 15, LATENTS) if architecture == "matryoshka" else ())
    weights = weights_of(architecture, WIDTH)
    x = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(7))
    batch = encode(weights, x, None, torch.float32, alone=True)
    exact = {name: value.double().requires_grad_() for name, value in weights.items()}
    loss_of(exact, x.double(), None, recipe, 0.0, alone=True).backward()
    close(gradients(weights, batch, recipe, 0.0).gradients, {name: value.grad for name, value in exact.items()})
    shared = gradients(weights, encode(weights, x, None, torch.float32), recipe, 0.0)
    assert shared_threshold(batch, recipe) == pytest.approx(float(shared.threshold), abs=1e-6)


def test_the_loss_of_dead_latents_is_that_of_autograd():
    """AuxK (arXiv:2406.04093, appendix A.2): dead latents alone reconstruct what the others leave, which is not moved."""
    weights = weights_of("topk", WIDTH)
    x = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(3))
    batch = encode(weights, x, None, torch.float32)
    recipe = Recipe(LATENTS, "topk", k=5, auxiliary=0.25)
    step = gradients(weights, batch, recipe, 0.0)
    dead = torch.tensor([1, 4, 9, 10, 17, 23, 30, 31, 39])
    made = revive(weights, batch, step, dead, len(dead), recipe)
    w = {name: value.double().requires_grad_() for name, value in weights.items()}
    h = (x.double() - w["b_dec"]) @ w["encoder"].T + w["b_enc"]
    some = h[:, dead]
    keep = torch.zeros_like(some).scatter_(1, some.topk(WIDTH // 2, 1).indices, 1.0)
    auxiliary = 0.25 * mean_square(step.residual.double() - (some.relu() * keep) @ w["decoder"][dead])
    (loss_of(w, x.double(), None, recipe, 0.0) + auxiliary).backward()
    close(made, {name: value.grad for name, value in w.items()})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("m", "k"), [(300, 7), (4096, 32), (8192, 3), (8192, 300)])
def test_the_largest_are_found_among_their_groups(m, k, dtype):
    h = torch.randn(6, m, generator=torch.Generator().manual_seed(m + k)).to(dtype)
    h[2] = 0.0
    found = h.gather(1, selection.largest_of_rows(h, k)).sort(1, descending=True).values
    assert (found == h.topk(k, 1).values).all()
    places = selection.largest_of_all(h, 6 * k)
    assert len(places.unique()) == 6 * k
    assert (h.flatten()[places].sort(descending=True).values == h.flatten().topk(6 * k).values).all()
