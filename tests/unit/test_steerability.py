"""Statistics of propensity curves against closed forms and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from interp_magics.data import results
from interp_magics.data.provenance import Provenance
from interp_magics.data.steerability import SteerabilityMeta, SteerabilityRun, encode, merge
from interp_magics.errors import RequestError
from interp_magics.steering import SCALES

_ORIGIN = Provenance("m", "", "d", "t", "float32", "e", {}, {})


def _run(values, scales=SCALES, ids=None):
    values = np.asarray(values, np.float32)
    curves, layers, items, _ = values.shape
    meta = SteerabilityMeta(
        site="resid_post",
        layers=tuple(range(2, 2 + layers)),
        scales=tuple(scales),
        curves=("vector", "random", "shuffled")[:curves],
        prompts=tuple(f"q{i}" for i in range(items)),
        answers=(("A", "B"),) * items,
        provenance=_ORIGIN,
    )
    given_ids = np.tile([3, 4], (items, 1)) if ids is None else np.asarray(ids)
    return SteerabilityRun(meta, values, given_ids.astype(np.int32))


@given(arrays(np.float32, (1, 2, 3, 7), elements=st.floats(-50, 50, width=32)))
def test_a_slope_is_least_squares_and_on_this_grid_the_sum_over_seven(values):
    run = _run(values)
    for layer in range(2):
        for item in range(3):
            m = values[0, layer, item].astype(np.float64)
            assert run.per_item[layer, item] == pytest.approx(np.polyfit(SCALES, m, 1)[0], abs=1e-6)
            assert run.per_item[layer, item] == pytest.approx(np.dot(SCALES, m) / 7, abs=1e-6)
        mean = values[0, layer].mean(0, dtype=np.float64)
        line = stats.linregress(SCALES, mean)
        assert run.slope[layer] == pytest.approx(line.slope, abs=1e-6)
        if np.ptp(mean) > 1e-3:
            assert run.r2[layer] == pytest.approx(line.rvalue**2, abs=1e-6)


@given(arrays(np.float32, (1, 1, 4, 5), elements=st.integers(-3, 3)))
def test_the_rank_correlation_is_scipys(values):
    scales = (-2.0, -1.0, 0.0, 1.0, 2.0)
    run = _run(values, scales)
    varying = [m for m in values[0, 0] if np.ptp(m) > 0]
    expected = sum(stats.spearmanr(scales, m).statistic for m in varying) / 4
    assert run.spearman[0] == pytest.approx(expected, abs=1e-9)


def test_what_the_other_figures_mean():
    slopes = np.array([2.0, 1.0, -1.0, 4.0])
    values = (slopes[:, None] * np.asarray(SCALES) + 5)[None, None]
    run = _run(values, ids=[[3, 4], [3, 4], [4, 3], [3, 4]])
    assert run.anti_steerable[0] == 0.25 and run.r2[0] == pytest.approx(1) and run.monotonic[0]
    assert run.std[0] == pytest.approx(slopes.std(ddof=1))
    assert run.label_bias[0] == pytest.approx(slopes[[0, 1, 3]].mean() + 1)
    assert run.best == 2 and "1.500" in repr(run)
    assert np.isnan(_run(values).label_bias[0])
    assert not _run(-values).monotonic[0]


def test_the_interval_is_a_bootstrap_over_items():
    draw = np.random.default_rng(3)
    slopes = draw.normal(1.0, 0.5, 60)
    run = _run((slopes[:, None] * np.asarray(SCALES))[None, None])
    theirs = stats.bootstrap((slopes,), np.mean, n_resamples=4000, method="percentile", random_state=1)
    assert run.ci[0, 0] == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert run.ci[0, 1] == pytest.approx(theirs.confidence_interval.high, abs=0.02)


def test_files_tables_and_slices():
    draw = np.random.default_rng(0)
    run = _run(draw.normal(size=(3, 2, 6, 7)))
    again = results.decode(encode(run))
    assert again.meta == run.meta and np.array_equal(again.values, run.values)
    parts = [_run(run.values[:, :, :4]), _run(run.values[:, :, 4:])]
    assert np.array_equal(merge(parts).values, run.values)
    table = run.table()
    assert list(table.index) == [2, 3] and {"random_slope", "shuffled_slope", "slope", "r2"} <= set(table.columns)
    long = run.to_pandas()
    cell = long[(long.curve == "random") & (long.layer == 3) & (long["item"] == 2) & (long.scale == 0.5)]
    assert float(cell.propensity.iloc[0]) == pytest.approx(float(run.values[1, 1, 2, 4]))
    with pytest.raises(RequestError, match="layer 9"):
        run.at(9)
