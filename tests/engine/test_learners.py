"""Dictionaries that several ranks train: each whole on one of them, or shared out, they are those of one rank."""

import pytest
import torch

from interp_magics.engine.dictionaries.cohort import EVERY
from interp_magics.engine.dictionaries.learners import loads, placed
from interp_magics.program.dictionaries import LARGE_BYTES, TRAINED, Recipe
from tests.engine.taught import Lesson, alone, teach_on
from tests.unit.test_training import RECIPES, WIDTH, planted

SITE = ("resid_post", 0)
LATENTS = 97


def slices(rows, count, seed=0, scale=1.0):
    x, _ = planted(rows, seed=seed)
    return [{SITE: some * scale} for some in x.chunk(count)]


def recipe(architecture, **changed):
    groups = {"groups": (5, 40, LATENTS)} if architecture == "matryoshka" else {}
    given = {"batch": 100, "tokens": 3000, "dtype": "float32"} | RECIPES[architecture] | groups | changed
    return Recipe(LATENTS, architecture, **given)


def moved(one, other):
    """The largest share of its norm by which a weight differs."""
    return max(
        float((value - other[name]).norm() / value.norm().clamp_min(1e-3))
        for name, value in one.items()
        if name.startswith("weights/")
    )


TRANSCODER = {"site": "ln_mlp", "site_out": "mlp_out", "batch": 100, "tokens": 1000, "dtype": "float32"}


@pytest.fixture(scope="module")
def lessons():
    x, _ = planted(1000)
    y = (x @ torch.randn(WIDTH, 20, generator=torch.Generator().manual_seed(4))).relu() + 1.0
    diverging = recipe("topk", learning_rate=1e30)
    made = {name: Lesson([recipe(name)], slices(400, 2), large=True) for name in TRAINED}
    made |= {
        "dead": Lesson([recipe("topk", k=1, dead_after=150)], slices(3000, 1), large=True),
        "shared": Lesson([recipe("batch_topk", tokens=1000)], slices(1000, 1), large=True),
        "transcoder": Lesson(
            [Recipe(LATENTS, "topk", k=4, **TRANSCODER)], [{("ln_mlp", 0): x, ("mlp_out", 0): y}], large=True
        ),
        "many": Lesson([recipe("topk", seed=1), recipe("relu"), recipe("topk", k=9), recipe("gated")], slices(1500, 3)),
        "one of them diverges": Lesson([recipe("topk"), diverging], slices(1000, 1)),
        "a large one diverges": Lesson([diverging], slices(1000, 1), large=True),
        "the same rows": Lesson([recipe("topk")], [{SITE: torch.ones(200, WIDTH)}], large=True),
        "left": Lesson([recipe("topk")], slices(1000, 1), large=True, left=2),
        "after": Lesson([recipe("topk")], slices(1000, 2)),
    }
    return made


@pytest.fixture(scope="module")
def whole(lessons):
    return {name: alone(lesson) for name, lesson in lessons.items()}


@pytest.fixture(scope="module", params=[2, 3])
def spread(request, lessons, tmp_path_factory):
    told = teach_on(request.param, tmp_path_factory.mktemp("taught"), list(lessons.values()))
    return dict(zip(lessons, told, strict=True))


@pytest.mark.parametrize("name", [*TRAINED, "dead", "shared", "transcoder"])
def test_a_dictionary_that_is_shared_out_learns_what_a_whole_one_learns(name, spread, whole):
    """Sums are made in another order, so that the last digits differ."""
    (reached,), (state,) = spread[name]
    (expected,), (wanted,) = whole[name]
    assert {key: value.shape for key, value in state.items() if key != "dead"} == {
        key: value.shape for key, value in wanted.items() if key != "dead"
    }
    assert moved(wanted, state) < 1e-4
    assert torch.equal(wanted["counts"], state["counts"])
    assert reached.fvu == pytest.approx(expected.fvu, rel=1e-3) and reached.l0 == pytest.approx(expected.l0, rel=1e-3)
    assert reached.dead == pytest.approx(expected.dead, abs=2.1 / LATENTS)
    if name == "dead":
        assert expected.dead > 0.1


def test_dictionaries_that_are_whole_are_those_of_one_rank_bit_for_bit(spread, whole):
    for one, other in zip(spread["many"][1], whole["many"][1], strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert [reached.seen for reached in spread["many"][0]] == [1500] * 4


@pytest.mark.parametrize("name", ["one of them diverges", "a large one diverges", "the same rows"])
def test_a_rank_that_cannot_go_on_says_why_and_the_others_are_free(name, spread, whole):
    assert spread[name] == whole[name] and isinstance(spread[name], str)
    assert all(torch.equal(value, whole["after"][1][0][name]) for name, value in spread["after"][1][0].items())


@pytest.mark.parametrize("large", [True, False])
def test_what_one_rank_has_begun_several_go_on_with_and_the_other_way(large, tmp_path):
    first, second = slices(1200, 2)
    both = [recipe("batch_topk", tokens=1200), recipe("jumprelu", tokens=1200)]
    _, begun = alone(Lesson(both, [first]))
    (_, ended), (_, begun_there) = teach_on(
        2, tmp_path, [Lesson(both, [second], large, states=begun), Lesson(both, [first], large)]
    )
    _, ended_here = alone(Lesson(both, [second], states=begun_there))
    _, wanted = alone(Lesson(both, [first, second]))
    for made in (ended, ended_here):
        assert all(moved(one, other) < 2e-3 for one, other in zip(wanted, made, strict=True))


def test_large_ones_are_everybodys_and_the_others_lie_evenly():
    large = LARGE_BYTES // 16 + 1
    sizes = [5, large, 3, 4, 2]
    assert placed(sizes, 2) == (0, EVERY, 1, 1, 0)
    assert loads(sizes, placed(sizes, 2), 2) == [7 + large // 2, 7 + large // 2]
    assert placed(sizes, 1) == (0,) * 5
