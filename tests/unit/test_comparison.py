"""Comparisons against closed forms: lines, parabolas, and points of which nothing lies between."""

import numpy as np
import pytest

from interp_magics.data.comparison import Comparison, ComparisonMeta, WayMeta, decode, encode
from interp_magics.data.files import decode as read
from interp_magics.data.provenance import Provenance
from interp_magics.errors import RequestError
from interp_magics.methods.cost import pass_flops, passes_flops
from interp_magics.program.language import replace
from tests.unit import test_book

STRENGTHS = (-2.0, -1.0, 1.0, 2.0)
SLOPES = np.array([1.0, 3.0, -0.5, -0.5, -0.5])
PLAIN = np.array([0.5, -1.0, 0.2, 0.9, -2.0])
TOKENS = np.array([10, 30], np.int32)


def comparison(**ways):
    """Ways by name: (strengths, gradual, slope over SLOPES, KL for a strength of 1); `told` is on two groups of 2 and 3."""
    metas, values, kl = [], [], []
    for name, (strengths, gradual, factor, price) in ways.items():
        metas.append(WayMeta(name, strengths, gradual, 12, None))
        values += [PLAIN + factor * SLOPES * s for s in strengths]
        kl += [price * s * s for s in strengths]
    divergence = np.array(kl)[:, None] * TOKENS * [[0.5, 7 / 6]]
    provenance = Provenance("m", "r", "d", "t", "float32", "e", {}, {})
    return Comparison(
        ComparisonMeta(tuple(metas), (("told", 2), ("other", 3)), provenance),
        np.array(values, np.float32),
        PLAIN.astype(np.float32),
        np.tile(np.arange(len(values), dtype=np.int32)[:, None], 5),
        divergence,
        10.0 + np.log(2) * divergence,
        np.array([4.0, 6.0]),
        TOKENS,
    )


LINE = (STRENGTHS, True, 1.0, 0.1)
PROMPT = ((-1.0, 1.0), False, 2.0, 0.3)


def test_slopes_ratios_and_curves_are_those_of_the_lines():
    found = comparison(vector=LINE, prompt=PROMPT)
    assert found.slopes("vector") == pytest.approx(SLOPES) and found.slopes("prompt") == pytest.approx(2 * SLOPES)
    table = found.table()
    assert table.loc["vector", "told"].slope == pytest.approx(2.0)
    assert table.loc["vector", "other"].ratio == pytest.approx(-0.25) and table.loc["prompt", "told"].ratio == 1
    low, high = table.loc[("vector", "told"), ["ci_low", "ci_high"]]
    assert 1.0 <= low <= 2.0 <= high <= 3.0
    curve = found.to_pandas().query("way == 'prompt' and group == 'told'")
    assert list(curve.strength) == [-1, 0, 1] and list(curve.propensity) == pytest.approx([-4.25, -0.25, 3.75])


def test_a_mean_is_over_tokens_and_the_root_of_kl_is_a_line():
    found = comparison(vector=LINE, weak=(STRENGTHS, True, 1.0, 0.01))
    assert found.kl[:4] == pytest.approx([0.4, 0.1, 0.1, 0.4]) and found.budget == pytest.approx(0.04)
    at = found.reached("vector", 0.225)
    assert at.strength == pytest.approx(1.5) and at.values == pytest.approx(PLAIN + 1.5 * SLOPES, abs=1e-6)
    assert found.reached("vector", 9.0).strength == 2 and found.reached("vector", 0.0).strength == 0
    assert found.table(0.1).loc["vector", "told"].effect == pytest.approx(2.0)


def test_nothing_lies_between_two_prompts():
    found = comparison(vector=LINE, prompt=PROMPT)
    assert found.budget == pytest.approx(0.3)
    assert found.reached("prompt", 0.29).strength == 0 and found.reached("prompt", 0.31).strength == 1
    assert found.reached("vector").strength == pytest.approx(np.sqrt(3))
    costs = found.costs()
    assert list(costs.added_tokens) == [3, 5] and costs.loc["prompt"].strength == 1 and costs.loc["prompt"].texts == 12


def test_what_is_kept_is_the_share_that_prefers_what_it_did():
    table = comparison(vector=LINE, prompt=PROMPT).table(0.1)
    assert table.loc["vector", "told"].kept == 0.5 and table.loc["vector", "other"].kept == pytest.approx(2 / 3)


def test_a_stronger_push_that_does_less_is_not_taken():
    found = comparison(vector=LINE)
    found.values[3, :2] = -9
    assert found.reached("vector", 1.0).strength == 1


def test_ways_that_add_up_do_not_interfere():
    found = comparison(a=LINE, b=(STRENGTHS, True, 0.5, 0.1), both=(STRENGTHS, True, 1.2, 0.2))
    row = found.interference("both", "a", "b").loc["told"]
    assert row["sum"] == pytest.approx(3.0) and row.together == pytest.approx(2.4)
    assert row.interference == pytest.approx(-0.6)


def test_it_is_read_as_it_was_written_and_names_what_it_has():
    found = comparison(vector=LINE, prompt=PROMPT)
    again = decode(*read(encode(found)))
    assert np.array_equal(again.values, found.values) and again.meta == found.meta
    assert "'told' within a KL of 0.3" in repr(again) and "prompt +4.000" in repr(again)
    for call, why in (
        (lambda: found.slopes("vectr"), "did you mean 'vector'"),
        (lambda: found.reached("vector", -1.0), "0 or more"),
        (lambda: found.interference("vector", "prompt"), "two at least"),
    ):
        with pytest.raises(RequestError, match=why):
            call()


def test_the_smallest_strengths_have_a_slope():
    tiny = comparison(vector=((-1e-200, 1e-200), True, 1e200, 0.1))
    assert tiny.slopes("vector") == pytest.approx(1e200 * SLOPES, rel=1e-3)


def test_passes_are_counted_as_one_by_one():
    card = replace(test_book.card(), parameters=5000, layers=3, heads=2, d_head=8, d_model=16, vocabulary=100)
    counts, added = [3, 17, 40], [0, 5, 5, 11]
    each = sum(pass_flops(card, n + more, None) for n in counts for more in added)
    assert passes_flops(card, counts, added) == pytest.approx(each)
