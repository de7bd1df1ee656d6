"""Ranks of activations: those of the values themselves, whatever an outlier does, and not of what a pass errs by."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from interp_magics.methods.search.run import compare, rounded


def columns(kind, draw, rows=50, count=40):
    made = draw.random((rows, count)).astype(np.float32)
    if kind == "sparse":
        made *= draw.random((rows, count)) < 0.3
    if kind == "wide":
        made = np.exp(2 * draw.standard_normal((rows, count))).astype(np.float32)
    if kind == "outlier":
        made[3] = 2000.0
    if kind == "signed":
        made -= 0.5
    return made


@pytest.mark.parametrize("kind", ["plain", "sparse", "wide", "outlier", "signed"])
def test_areas_and_p_values_are_scipys_of_the_values_as_they_are(kind):
    draw = np.random.default_rng(3)
    positive, negative = columns(kind, draw) * 1.3, columns(kind, draw)
    found = compare(positive, negative)
    wanted = mannwhitneyu(positive, negative, axis=0, method="asymptotic")
    assert np.allclose(found["area"], wanted.statistic / (50 * 50), atol=2e-3)
    assert np.allclose(found["p"], wanted.pvalue, rtol=0.05, atol=1e-4)


def test_one_massive_activation_does_not_hide_what_tells_texts_apart():
    draw = np.random.default_rng(0)
    positive = draw.normal(0.08, 0.005, (50, 1)).astype(np.float32)
    negative = draw.normal(0.02, 0.005, (50, 1)).astype(np.float32)
    negative[0] = 2000.0
    found = compare(positive, negative)
    assert found["area"][0] == pytest.approx(0.98) and found["p"][0] < 1e-12


def test_what_a_pass_errs_by_decides_no_order():
    values = np.repeat(np.float32([[0.25, 0.5], [0.7, 0.0]]), 30, axis=0)
    noise = 1 + 1e-6 * np.random.default_rng(1).standard_normal(values.shape).astype(np.float32)
    assert np.array_equal(rounded(values * noise), rounded(values))
    still = np.full((20, 1), 0.3, np.float32)
    found = compare(still * noise[:20, :1], still * noise[20:40, :1])
    assert found["area"][0] == 0.5 and found["p"][0] == 1.0
