"""The demo model ships only if it behaves; measured on the weights in the package."""

from pathlib import Path

import pytest

from interp_magics.demo import MODEL_DIR
from interp_magics.demo import measure as m


@pytest.fixture(scope="module")
def subject():
    return m.Subject()


def test_it_is_small():
    assert sum(f.stat().st_size for f in Path(MODEL_DIR).iterdir()) <= 8_000_000


def test_the_lens_sharpens_over_layers(subject):
    agreement = m.lens_agreement(subject)["agreement"]
    assert agreement == sorted(agreement) and agreement[1] > 0.15 and agreement[-1] == 1.0


def test_induction(subject):
    assert m.induction(subject) >= 0.8


def test_copying_of_a_name(subject):
    assert m.ioi(subject)["preferred"] >= 0.95


def test_facts(subject):
    known = m.facts(subject)
    assert min(known["capitals seen"], known["people seen"]) >= 0.95
    assert min(known["capitals held out"], known["people held out"]) >= 0.8


def test_ab_questions(subject):
    assert sum(accuracy >= 0.9 for accuracy in m.ab_questions(subject).values()) >= 5


def test_a_vector_from_ab_questions_has_a_slope(subject):
    for fit in m.ab_steering(subject).values():
        assert fit["slope"] > 0.4 and fit["r2"] >= 0.9


def test_mood_and_register_can_be_steered(subject):
    for fit in m.style_steering(subject).values():
        assert fit["r2"] >= 0.99


def test_requests_get_the_mode_they_should(subject):
    assert min(m.refusals(subject).values()) >= 0.95
