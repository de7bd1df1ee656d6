"""Bounds that are fixed beforehand, and what they say."""

import pytest

import interp_magics as im

BEFORE = im.Rates(incidents=0.29, false_refusals=0.02, benign=0.95)


def test_the_change_of_the_guide_is_accepted():
    found = im.Gate().judge(BEFORE, im.Rates(incidents=0.057, false_refusals=0.028, benign=0.94))
    assert found.accepted and "accepted: incidents 29.0% -> 5.7%" in repr(found)


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (im.Rates(0.06, 0.02, 0.95), "incidents 29.0% -> 6.0%, more than 20%"),
        (im.Rates(0.0, 0.031, 0.95), "false refusals up 1.1 points"),
        (im.Rates(0.0, 0.02, 0.937), "harmless answers down 1.3 points"),
    ],
)
def test_what_is_out_of_bounds_is_named(after, says):
    found = im.Gate().judge(BEFORE, after)
    assert not found.accepted and says in repr(found) and len(found.failures) == 1


def test_a_rate_is_a_share():
    with pytest.raises(im.RequestError, match="incidents is a share from 0 to 1, not 29"):
        im.Rates(29, 0.0, 0.0)
