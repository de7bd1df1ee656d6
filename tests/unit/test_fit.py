"""Fits of directions against planted truths and other libraries' arithmetic."""

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD

from interp_magics.methods.vector import fit


def _sides(n=200, d=24, size=3.0, seed=0):
    """Pairs that differ by a planted direction and noise, around what each pair has of its own."""
    draw = np.random.default_rng(seed)
    truth = draw.standard_normal(d)
    truth /= np.linalg.norm(truth)
    own = 2 * draw.standard_normal((n, d))
    noise = 0.3 * draw.standard_normal((2, n, d))
    return own + size * truth + noise[0], own + noise[1], truth


def _cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


@pytest.mark.parametrize("method", fit.FITS)
def test_each_method_finds_what_was_planted(method):
    positive, negative, truth = _sides()
    found = fit.FITS[method](positive, negative)
    assert _cosine(found, truth) > (0.9 if method == "logistic" else 0.99)
    assert np.linalg.norm(found) == pytest.approx(3.0, abs=0.2)
    assert np.allclose(fit.FITS[method](negative, positive), -found, atol=0.05)


def test_pca_is_not_centred():
    """A centred one would lose the mean, which is the signal."""
    positive, negative, _ = _sides()
    theirs = TruncatedSVD(1, algorithm="arpack", random_state=0).fit(positive - negative).components_[0]
    assert abs(_cosine(fit.pca(positive, negative), theirs)) > 1 - 1e-9


def test_what_a_separation_is():
    positive, negative, truth = _sides(4000, 3)
    found = fit.diagnostics(positive, negative, truth, 10.0, "mean_difference", False)
    one, other = positive @ truth, negative @ truth
    expected = (one.mean() - other.mean()) / np.sqrt((one.var(ddof=1) + other.var(ddof=1)) / 2)
    assert found["separation"] == pytest.approx(expected)
    assert found["norm"] == pytest.approx(1.0) and found["relative_norm"] == pytest.approx(0.1)
    assert "cosine" not in found
    alike = np.repeat(positive[:1], 3, axis=0)
    told = fit.diagnostics(alike, alike + truth, truth, 0.0, "logistic", True)
    assert told["separation"] is None and told["relative_norm"] is None


def test_accuracy_is_of_texts_that_were_not_fitted():
    draw = np.random.default_rng(1)
    noise = draw.standard_normal((2, 30, 500))
    nothing = fit.diagnostics(*noise, fit.mean_difference(*noise), 1.0, "mean_difference", True)
    assert nothing["accuracy"] < 0.75 and nothing["separation"] > 4
    positive, negative, _ = _sides(size=20.0)
    clear = fit.diagnostics(positive, negative, fit.mean_difference(positive, negative), 1.0, "mean_difference", True)
    assert clear["accuracy"] == 1.0 and clear["cosine"] > 0.99 and clear["cosine_spread"] < 0.01


@pytest.mark.parametrize("method", fit.FITS)
@pytest.mark.parametrize("count", [5, 7, 40, 41])
@pytest.mark.parametrize("paired", [True, False])
def test_shuffled_sides_give_a_direction_as_long_and_of_no_meaning(paired, count, method):
    """On average over recipes it is neither the vector nor its opposite."""
    cosines = []
    for seed in range(30):
        positive, negative, truth = _sides(count, 60, seed=seed)
        control = fit.shuffled(positive, negative if paired or method == "pca" else negative[1:], method, 3.0, seed)
        assert np.linalg.norm(control) == pytest.approx(3.0)
        cosines.append(_cosine(control, truth))
    assert abs(np.mean(cosines)) < 0.25 and np.abs(cosines).mean() < 0.6
