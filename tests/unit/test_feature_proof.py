"""The verdict on a feature: planted effects are called causal, inert ones correlational, weak evidence inconclusive."""

import numpy as np
import pytest

from interp_magics.data.feature_proof import FeatureProof, matched


def proof(present, absent=(0.0, 0.0), plain=0.0, prompts=20, controls=None):
    """`present` [dose] and `absent` [level] are the feature's rates, `controls` a second row of each."""

    def of(rates, other):
        rows = [rates] + ([other] if other is not None else [])
        made = np.zeros((len(rows), len(rates), prompts))
        for row, each in enumerate(rows):
            for place, rate in enumerate(each):
                made[row, place, : round(rate * prompts)] = 1
        return made

    other = controls or (None, None)
    return FeatureProof(
        latent=3,
        controls=() if controls is None else (7,),
        doses=(0.0, 1.0),
        levels=tuple(range(1, len(absent) + 1)),
        present=of(present, other[0]),
        absent=of(absent, other[1]),
        plain_absent=of((plain,), None)[0, 0],
        side_effects=np.zeros((1 + (controls is not None), 2)),
        smallest=0.2,
        made_from={},
    )


def test_what_ablation_takes_away_is_causal():
    found = proof((0.0, 1.0), (0.0, 0.0), controls=((1.0, 1.0), (0.0, 0.0)))
    assert found.verdict == "causal"
    assert (found.necessity.effect, found.necessity.low, found.necessity.control) == pytest.approx((1.0, 0.85, 0.0))
    assert found.sufficiency.effect == 0.0
    assert "latent 3 is causal" in repr(found)


def test_what_a_level_brings_is_causal():
    found = proof((1.0, 1.0), (0.3, 0.8), controls=((1.0, 1.0), (0.0, 0.05)))
    assert found.verdict == "causal" and found.sufficiency.effect == 0.8
    assert list(found.table()["behaviour"]) == [1.0, 1.0, 0.3, 0.8]


def test_what_changes_nothing_is_correlational():
    assert proof((1.0, 1.0), (0.0, 0.0), controls=((1.0, 1.0), (0.0, 0.0))).verdict == "correlational"


def test_fifteen_prompts_that_agree_cannot_exclude_a_fifth():
    inert = {"present": (1.0, 1.0), "absent": (0.0, 0.0), "controls": ((1.0, 1.0), (0.0, 0.0))}
    assert [proof(**inert, prompts=prompts).verdict for prompts in (15, 16)] == ["inconclusive", "correlational"]


@pytest.mark.parametrize(
    "found",
    [
        proof((0.5, 1.0), (0.0, 0.0), controls=((0.4, 1.0), (0.0, 0.0))),  # a control does as much
        proof((0.7, 1.0), (0.0, 0.0), prompts=3, controls=((1.0, 1.0), (0.0, 0.0))),  # too few prompts
        proof((0.0, 1.0), (0.0, 0.0), prompts=1, controls=((1.0, 1.0), (0.0, 0.0))),  # one prompt, however clear
        proof((0.0, 1.0), (0.0, 0.0)),  # no controls
        proof((0.0, 0.0), (0.0, 0.0), controls=((0.0, 0.0), (0.0, 0.0))),  # the behaviour never shows
        proof((1.0, 1.0), (1.0, 1.0), plain=1.0, controls=((1.0, 1.0), (1.0, 1.0))),  # it shows everywhere
        proof((0.85, 1.0), (0.0, 0.0), controls=((1.0, 1.0), (0.0, 0.0))),  # less than what counts, but not nothing
    ],
)
def test_anything_else_is_inconclusive(found):
    assert found.verdict == "inconclusive"


def test_the_summary_has_what_a_manifest_needs():
    made = proof((0.0, 1.0), (0.0, 0.0), controls=((1.0, 1.0), (0.0, 0.0))).summary()
    assert (
        made["verdict"] == "causal"
        and made["necessity"]["interval"] == pytest.approx([0.85, 1.0])
        and made["prompts"] == [20, 20]
    )


def test_controls_are_those_nearest_in_density_and_strength():
    density = np.array([0.01, 0.011, 0.3, 0.009, 0.0, 0.01])
    mean = np.array([2.0, 2.1, 2.0, 40.0, 2.0, 2.2])
    assert matched(0, density, mean, set(), 2) == (5, 1)
    assert matched(0, density, mean, {1}, 2) == (5, 3)
    assert 4 not in matched(0, density, mean, set(), 9)
