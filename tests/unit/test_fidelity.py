"""Fidelity against closed forms: the mean, a constant error, principal components, planted sparse data."""

import numpy as np
import pytest

import interp_magics as im
from interp_magics.data.dictionary import Dictionary

D, N = 10, 4000


@pytest.fixture
def x():
    draw = np.random.default_rng(0)
    return draw.standard_normal((N, D)) @ draw.standard_normal((D, D)) + 3.0


def linear(rows, mean):
    """A dictionary that is the projection on the span of orthonormal `rows`: each of them, and its opposite."""
    both = np.concatenate([rows, -rows])
    return Dictionary(W_enc=both.T, W_dec=both, b_enc=np.zeros(len(both)), b_dec=mean)


def constant(value):
    return Dictionary(np.zeros((D, 3)), np.zeros((3, D)), np.full(3, -1.0), value)


def test_the_mean_explains_nothing_and_that_is_all_it_explains(x):
    found = im.fidelity(constant(x.mean(0)), x)
    assert abs(found.fvu - 1) < 1e-6 and found.l0 == 0 and found.dead == 1.0


def test_a_constant_error_is_seen(x):
    found = im.fidelity(constant(x.mean(0) + 1.0), x)
    spread = ((x - x.mean(0)) ** 2).sum() / N
    assert abs(found.fvu - (1 + D / spread)) < 1e-5
    assert abs(found.mse - (spread + D)) < 1e-3 and abs(found.mse_element - found.mse / D) < 1e-9


@pytest.mark.parametrize("kept", [1, 4, 9, 10])
def test_principal_components_leave_the_variance_of_the_others(x, kept):
    mean = x.mean(0)
    _, values, rows = np.linalg.svd(x - mean, full_matrices=False)
    found = im.fidelity(linear(rows[:kept], mean), x)
    assert abs(found.fvu - (values[kept:] ** 2).sum() / (values**2).sum()) < 1e-5
    assert abs(found.l0 - kept) < 1e-3


def test_numbers_do_not_depend_on_batches(x):
    _, _, rows = np.linalg.svd(x - x.mean(0), full_matrices=False)
    made = linear(rows[:3], x.mean(0) + 0.1)
    whole = im.fidelity(made, x)
    for parts in (np.array_split(x, 7), [x[:1], x[1:]], list(x)[:0] + np.array_split(x, 400)):
        other = im.fidelity(made, parts)
        for name in ("tokens", "fvu", "fvu_uncentred", "mse", "l0", "dead", "cosine", "norm_ratio", "relative_bias"):
            assert np.isclose(getattr(other, name), getattr(whole, name), rtol=1e-6), name
        assert np.array_equal(other.density, whole.density)


def test_a_planted_dictionary_is_told_from_a_random_one():
    draw = np.random.default_rng(1)
    features = draw.standard_normal((64, 32))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    strengths = (draw.random((2000, 64)) < 0.03) * draw.uniform(1, 2, (2000, 64))
    rows = strengths @ features

    def made(w):
        return Dictionary(w.T, w, np.full(64, -0.5), np.zeros(32), "jumprelu", threshold=np.full(64, 0.25))

    random = draw.standard_normal((64, 32))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    planted, other = im.fidelity(made(features), rows), im.fidelity(made(random), rows)
    assert planted.fvu < 0.5 < other.fvu and planted.cosine > 0.8 > other.cosine


def test_shrinkage_is_seen(x):
    _, _, rows = np.linalg.svd(x, full_matrices=False)
    half = Dictionary(
        np.concatenate([rows, -rows]).T, 0.5 * np.concatenate([rows, -rows]), np.zeros(2 * D), np.zeros(D)
    )
    found = im.fidelity(half, x)
    assert abs(found.norm_ratio - 0.5) < 1e-4 and abs(found.cosine - 1) < 1e-5 and abs(found.relative_bias - 0.5) < 1e-4


def test_what_cannot_be_measured_is_refused(x):
    made = constant(x.mean(0))
    with pytest.raises(im.RequestError, match="no rows"):
        im.fidelity(made, [])
    with pytest.raises(im.RequestError, match="all rows are the same"):
        im.fidelity(made, np.ones((5, D)))
    with pytest.raises(im.RequestError, match="not finite"):
        im.fidelity(made, np.full((2, D), np.nan))
    transcoder = Dictionary(np.zeros((D, 3)), np.zeros((3, D)), np.zeros(3), np.zeros(D), site_out="mlp_out")
    with pytest.raises(im.RequestError, match="a transcoder is measured"):
        im.fidelity(transcoder, x)
