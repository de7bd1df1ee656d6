"""Ways to move answers, compared through a pool: against what is measured of each alone, and against raw logits."""

import time

import numpy as np
import pytest

import interp_magics as im
from interp_magics.demo import documents
from interp_magics.demo.contrasts import contrasts, facts
from interp_magics.program.language import Edit
from interp_magics.program.operations import Copy

CHEERFUL, GLOOMY = (
    documents.chat([], text) for text in ("You are a cheerful assistant.", "You are a gloomy assistant.")
)
NEUTRAL = [
    documents.chat([("user", "Which colour is red?"), ("assistant", answer)]) for answer in ("Red.", "I see red.")
]
SCALES = [-2.0, -1.0, 1.0, 2.0]


@pytest.fixture(scope="module")
def demo():
    with im.connect(threads=1) as pool:
        pool.card()
        yield pool


@pytest.fixture(scope="module")
def vector(demo):
    pairs = contrasts("mood", 10)
    made = demo.steering_vector([a for a, _ in pairs], [b for _, b in pairs], position="mean", name="mood")
    return made.at(5)


ITEMS = contrasts("mood", 3, seed=1)


def test_every_way_is_what_is_measured_of_it_alone(demo, vector):
    ways = {
        "vector": vector,
        "prompt": {1: CHEERFUL, -1: GLOOMY},
        "first": vector.edit(positions="first"),
        "without": vector.edit(op="ablate"),
        "both": {1: [vector, vector.edit(0.5)], 2: CHEERFUL},
    }
    groups = {"mood": ITEMS[:4], "register": contrasts("register", 1, seed=2)}
    found = demo.compare_steering(ways, groups, NEUTRAL, scales=[0.0, *SCALES])
    assert found.ways == tuple(ways) and found.groups == ("mood", "register") and found.values.shape == (13, 6)
    assert found.meta.ways[0].strengths == tuple(SCALES) and [way.gradual for way in found.meta.ways] == [1, 0, 1, 0, 0]
    assert [way.texts for way in found.meta.ways] == [40, 0, 40, 40, 40]
    assert found.meta.ways[4].cosine == pytest.approx(1.0) and found.meta.ways[0].cosine is None

    pairs = [*groups["mood"], *groups["register"]]
    alone = demo.steerability(vector, pairs, scales=[*SCALES, 0.0, 1.5], positions="all", controls=False)
    assert found.values[:4] == pytest.approx(alone.propensity[0].T[:4], abs=2e-3)
    assert found.plain == pytest.approx(alone.propensity[0, :, 4], abs=2e-3)
    assert found.values[11] == pytest.approx(alone.propensity[0, :, 5], abs=2e-3)
    first = demo.steerability(vector, pairs, scales=SCALES, positions="first", controls=False)
    assert found.values[6:10] == pytest.approx(first.propensity[0].T, abs=2e-3)
    for place, before in ((4, CHEERFUL), (5, GLOOMY), (12, CHEERFUL)):
        begun = [(before + one, before + other) for one, other in pairs]
        asked = demo.steerability(vector, begun, scales=[0.0, 1.0], controls=False)
        assert found.values[place] == pytest.approx(asked.propensity[0, :, 0], abs=2e-3)
        assert set(found.added[place]) == {len(demo.tokenize(before).ids)}
    assert not found.added[:4].any()


def test_many_strengths_are_what_few_are(demo, vector):
    """More than one program holds."""
    many = demo.compare_steering({"a": vector}, ITEMS[:2], NEUTRAL[:1], scales=np.linspace(-4, 3, 71))
    few = demo.compare_steering({"a": vector}, ITEMS[:2], NEUTRAL[:1], scales=[-4.0, 2.0, 3.0])
    assert many.values.shape == (70, 2)
    for name in ("values", "divergence", "surprisal"):
        assert getattr(many, name)[[0, 59, 69]] == pytest.approx(getattr(few, name), abs=2e-3)


def test_side_effects_are_those_of_raw_logits(demo, vector):
    found = demo.compare_steering({"vector": vector, "prompt": CHEERFUL}, ITEMS, NEUTRAL, scales=[2.0])
    for text, neutral in enumerate(NEUTRAL):
        plain, begun = (demo.capture(one, sites="logits") for one in (neutral, CHEERFUL + neutral))
        pushed = demo.capture(neutral, sites="logits", steer=vector * 2.0)
        ids = np.asarray(plain.rows[0].token_ids)
        shared = len(ids)
        assert np.array_equal(begun.rows[0].token_ids[-shared:], ids)
        logs = [_log_softmax(one.array("logits", 0)[-shared:]) for one in (plain, pushed, begun)]
        for point in (0, 1):
            kl = (np.exp(logs[0]) * (logs[0] - logs[point + 1])).sum(-1)[:-1].sum()
            known = -logs[point + 1][np.arange(shared - 1), ids[-shared + 1 :]].sum()
            assert found.divergence[point, text] == pytest.approx(kl, rel=1e-3)
            assert found.surprisal[point, text] == pytest.approx(known, rel=1e-3)
        assert found.tokens[text] == shared - 1


def _log_softmax(logits):
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_a_prompt_is_a_system_message_of_a_chat(demo, vector):
    def chat(answer, system=()):
        user = {"role": "user", "content": "What is a boat like?"}
        return [*system, user, {"role": "assistant", "content": answer}]

    pair = chat("It is lovely."), chat("It is awful.")
    prompt = "You are a cheerful assistant."
    found = demo.compare_steering({"prompt": prompt}, [pair], [chat("It is a boat.")])
    begun = tuple([{"role": "system", "content": prompt}, *one] for one in pair)
    other = demo.compare_steering({"vector": vector}, [begun], [chat("It is a boat.")], scales=[1.0, 2.0])
    assert found.values[0, 0] == pytest.approx(float(other.plain[0]), abs=1e-3)


def test_many_texts_are_compared_in_slices_and_are_what_they_are_at_once(demo, vector):
    ways = {"vector": vector, "prompt": CHEERFUL}
    items = {"mood": contrasts("mood", 60, seed=3), "register": contrasts("register", 20, seed=4)}
    neutral = facts(9)
    job = demo.compare_steering(ways, items, neutral, scales=SCALES, wait=False)
    units = set()
    while not job.done:
        units.add(job.progress.unit)
        time.sleep(0.005)
    many = job.result()
    assert "texts" in units
    parts = [
        demo.compare_steering(ways, {name: some[a:b]}, neutral[c:d], scales=SCALES)
        for name, some, a, b, c, d in (("mood", items["mood"], 110, 120, 0, 4), ("x", items["register"], 0, 10, 4, 9))
    ]
    assert many.values[:, 110:120] == pytest.approx(parts[0].values, abs=2e-3)
    assert many.values[:, 120:130] == pytest.approx(parts[1].values, abs=2e-3)
    for place, part in ((slice(0, 4), parts[0]), (slice(4, 9), parts[1])):
        assert many.divergence[:, place] == pytest.approx(part.divergence, abs=2e-3)
        assert np.array_equal(many.tokens[place], part.tokens)
    with pytest.raises(im.RequestError, match="neutral text 9 has no two tokens"):
        demo.compare_steering(ways, items, [*neutral, "x"], scales=SCALES)
    assert many.plain.shape == (160,) and dict(many.meta.groups) == {"mood": 120, "register": 40}


def test_vectors_that_meet_are_told_and_texts_counted_once(demo):
    pairs = contrasts("mood", 5)
    fitted = demo.steering_vector([a for a, _ in pairs], [b for _, b in pairs], position="mean", layer=[3, 4, 5])
    other = fitted.random()
    found = demo.compare_steering(
        {
            "apart": [fitted.at(3), fitted.at(4)],
            "turned": {1: fitted, -1: -fitted},
            "met": [fitted.at(5), other.at(5)],
            "sum": fitted + other,
            "when": fitted.at(5).edit(when=fitted.at(3).above(0.0)),
        },
        ITEMS[:1],
        NEUTRAL[:1],
        scales=[1.0],
    )
    assert [way.texts for way in found.meta.ways] == [20] * 5
    cosines = {way.name: way.cosine for way in found.meta.ways}
    assert cosines.pop("met") == pytest.approx(abs(fitted.cosine(other)[5])) and set(cosines.values()) == {None}


def test_a_way_that_leaves_neutral_texts_alone_does_not_set_the_budget(demo, vector):
    far = im.SteeringVector({3: vector.directions[5]})
    found = demo.compare_steering(
        {"all": vector, "never": vector.edit(when=far.above(1e6))}, ITEMS[:2], NEUTRAL[:1], scales=[1.0, 2.0]
    )
    assert found.kl[2:] == pytest.approx(0.0, abs=1e-7)
    assert found.budget == pytest.approx(found.kl[1])


def test_it_is_saved_and_estimated_and_shown(demo, vector, tmp_path):
    arguments = {"vector": vector, "prompt": CHEERFUL}, ITEMS, NEUTRAL
    found = demo.compare_steering(*arguments, scales=[1.0], wait=False).result(120)
    again = im.load(found.save(tmp_path / "comparison.safetensors"))
    assert again.table().equals(found.table()) and "prompt" in str(found)
    estimate = demo.estimate(demo.request("compare_steering", *arguments, scales=[1.0]))
    arrays = sum(getattr(found, name).nbytes for name in ("values", "added", "divergence", "surprisal"))
    assert arrays <= estimate.result_bytes <= 2 * arrays and estimate.seconds > 0


@pytest.mark.parametrize(
    "ways, items, neutral, why",
    [
        ({}, ITEMS, NEUTRAL, "ways are things by name"),
        ("vector", ITEMS, NEUTRAL, "ways are things by name"),
        ({"a": ""}, ITEMS, NEUTRAL, "'a' changes nothing at strength 1"),
        ({"a": []}, ITEMS, NEUTRAL, "'a' changes nothing"),
        ({"a": {"much": "Be happy. "}}, ITEMS, NEUTRAL, "the strength of a way is a number"),
        ({"a": {0: "Be happy. "}}, ITEMS, NEUTRAL, "'a' needs strengths that differ"),
        ({"a": 7}, ITEMS, NEUTRAL, "steer= takes vectors and edits"),
        ({"a": "Be happy. "}, {}, NEUTRAL, "needs items"),
        ({"a": "Be happy. "}, {"none": []}, NEUTRAL, "needs items"),
        ({"a": "Be happy. "}, ITEMS, [], "there is no text"),
        ({"a": "Be happy. "}, [([0, 5, 6], [0, 5, 7])], NEUTRAL, "text 0 is given as token ids"),
        ({"a": "Be happy. "}, [("the same", "the same")], NEUTRAL, "item 0 are the same"),
        ({"a": "Be happy. "}, ITEMS, ["x"], "neutral text 0 has no two tokens"),
        ({"a": im.SteeringVector({5: np.ones(3)})}, ITEMS, NEUTRAL, "width"),
        ({"a": im.SteeringVector({99: np.ones(3)})}, ITEMS, NEUTRAL, "layer 99"),
        ({"a": im.SteeringVector({5: np.ones(160)}).edit(rows=(0,))}, ITEMS, NEUTRAL, "says no rows"),
        (
            {"a": im.SteeringVector({5: np.ones(160)}).edit(positions="last")},
            ITEMS,
            NEUTRAL,
            "would seem to cost nothing",
        ),
        ({"a": im.SteeringVector({5: np.ones(160)}).edit(positions=[3])}, ITEMS, NEUTRAL, "positions are 'all'"),
        (
            {"a": im.SteeringVector({5: np.ones(160)}).edit(positions="generated")},
            ITEMS,
            NEUTRAL,
            "positions are 'all'",
        ),
        ({"a": Edit("resid_post", 5, Copy(0))}, ITEMS, NEUTRAL, "copies no other row"),
        ({"a": [im.SteeringVector({5: np.ones(3)}), im.SteeringVector({5: np.ones(4)})]}, ITEMS, NEUTRAL, "width 3"),
        ({"a": "\ud800"}, ITEMS, NEUTRAL, "text"),
        ({"a": {np.inf: "Be happy. "}}, ITEMS, NEUTRAL, "finite number"),
        ({"a": dict.fromkeys(range(1, 1100), "Be happy. ")}, ITEMS, NEUTRAL, "1099 points"),
        ({"a": "Be happy. " * 300}, ITEMS, NEUTRAL, "item 0 after 'Be happy"),
        ({"a": "Be happy. "}, {1: ITEMS, "1": ITEMS}, NEUTRAL, "groups of a comparison have different names"),
    ],
)
def test_bad_input_is_told(ways, items, neutral, why, demo):
    with pytest.raises(im.InterpError, match=why):
        demo.compare_steering(ways, items, neutral)
