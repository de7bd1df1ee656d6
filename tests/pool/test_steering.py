"""Steering through a pool: vectors, curves, a whole study from a file, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest

import interp_magics as im
from interp_magics.demo.contrasts import contrasts
from interp_magics.program.language import Span

POSITIVE = [[0, 5, 6, 7, 9], [0, 8, 2, 30, 9, 9], [0, 5, 60, 2]]
NEGATIVE = [[0, 5, 6, 70, 3], [0, 8, 2, 31, 9, 4], [0, 5, 61, 2]]
ITEMS = [([0, 17, 44, 9, 301], [0, 17, 44, 9, 77]), ([0, 5, 6, 301], [0, 5, 6, 77])]


@pytest.fixture(scope="module")
def demo():
    with im.connect(threads=1) as pool:
        pool.card()
        yield pool


@pytest.mark.parametrize("of, layer", [("mood", 5), ("register", 7)])
def test_a_vector_of_style_moves_answers_it_has_not_seen(of, layer, demo):
    """Mean slope above 0 with an interval clear of it and of both controls, straight and rising."""
    train, test = contrasts(of, 30), contrasts(of, 20, seed=1)
    vector = demo.steering_vector([a for a, _ in train], [b for _, b in train], position="mean", name=of)
    run = demo.steerability(vector, test, layers=[layer])
    assert run.meta.curves == (of, "random", "shuffled")
    assert run.ci[0, 0] > 0 and run.r2[0] > 0.9 and run.monotonic[0] and run.anti_steerable[0] < 0.05
    assert run.ci[0, 0] > max(run.interval(control)[0, 1] for control in (1, 2))
    table = vector.diagnostics()
    assert table.loc[layer, "accuracy"] > 0.9 and table.loc[layer, "separation"] > 2


def test_a_study_from_a_file_chooses_its_layer_on_what_it_does_not_report(demo, tmp_path):
    rows = []
    for a, b in contrasts("mood", 30):
        place = next(i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
        rows.append(
            {"question": a[:place], "answer_matching_behavior": a[place:], "answer_not_matching_behavior": b[place:]}
        )
    (tmp_path / "mood.jsonl").write_text("\n".join(map(json.dumps, rows)))
    questions = im.read_questions(tmp_path / "mood.jsonl", template="{question}")
    study = demo.steer_eval(questions, position="mean", validation=0.2)
    assert study.layer == study.validation.best and study.test.layers == (study.layer,)
    of_a_head = demo.steer_eval(questions, layers=[5], site="head_out", position="mean", validation=0.2, head=3)
    assert of_a_head.vector.head == 3 and of_a_head.test.slope[0] > 0.05
    assert study.test.slope[0] > 0.1 and study.test.ci[0, 0] > 0
    assert len(study.test.meta.prompts) + len(study.validation.meta.prompts) < len(questions)


def test_the_protocol_in_the_terminal(tmp_path):
    rows = []
    for place in range(12):
        for positive, negative in (("(A)", "(B)"), ("(B)", "(A)")):
            first, second = ("Yes", "No") if positive == "(A)" else ("No", "Yes")
            text = f"Is {place} it?\n\nChoices:\n (A) {first}\n (B) {second}"
            rows.append(
                {
                    "question": text,
                    "answer_matching_behavior": f" {positive}",
                    "answer_not_matching_behavior": f" {negative}",
                }
            )
    rows.append({"question": "x"})
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = [
        sys.executable,
        "-m",
        "interp_magics",
        "steer-eval",
        str(tmp_path / "q.jsonl"),
        "--validation",
        "0.3",
        "--chat",
    ]
    command += ["--layers", "4:", "--out", str(tmp_path / "curves.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for said in ("24 questions, 1 rows left out (row 24: no field", "chosen on validation alone", "shuffled_slope"):
        assert said in done.stdout
    assert im.load(tmp_path / "curves.safetensors").values.shape[0] == 3
    wrong = subprocess.run([*command[:4], str(tmp_path / "none.jsonl")], capture_output=True, text=True, timeout=120)
    assert wrong.returncode != 0 and "there is no file" in wrong.stderr and "Traceback" not in wrong.stderr


def test_curves_come_from_a_file_from_questions_and_from_pairs(pool, tmp_path):
    vector = pool.steering_vector(POSITIVE, NEGATIVE)
    rows = [{"prompt": "The capital of", "positive": "France", "negative": "Japan"}] * 2
    (tmp_path / "q.json").write_text(json.dumps(rows))
    with pytest.warns(UserWarning, match="1 rows left out"):
        assert pool.steerability(vector, [*rows, {"prompt": "x"}]).values.shape[2] == 2
    found = [
        pool.steerability(vector, given, layers="-1", scales=(-1, 1))
        for given in (tmp_path / "q.json", str(tmp_path / "q.json"), rows, im.read_questions(tmp_path / "q.json"))
    ]
    assert all(np.array_equal(one.values, found[0].values) for one in found)
    run = pool.steerability(vector, ITEMS, controls=False)
    assert run.values.shape == (1, 3, 2, 7) and not run.controls
    path = run.save(tmp_path / "run")
    again = im.load(path)
    assert np.array_equal(again.values, run.values) and again.meta == run.meta
    job = pool.steerability(vector, ITEMS, wait=False)
    assert job.result(120).values.shape == (3, 3, 2, 7)
    assert pool.estimate(pool.request("steerability", vector, ITEMS)).tokens == 9


def test_many_items_are_measured_in_slices_and_are_what_they_are_at_once(pool):
    vector = pool.steering_vector(POSITIVE, NEGATIVE)
    items = [([0, i, 9, 301], [0, i, 9, 77]) for i in range(5, 105)]
    whole = pool.steerability(vector, items, positions="all")
    some = pool.steerability(vector, items[40:44], positions="all")
    assert np.abs(whole.values[:, :, 40:44] - some.values).max() < 1e-3
    assert len(whole.meta.prompts) == 100


def test_vectors_are_computed_with_kept_and_read_again(pool, tmp_path):
    one, other = pool.steering_vector(POSITIVE, NEGATIVE, name="a"), pool.steering_vector(NEGATIVE, POSITIVE, name="b")
    assert np.allclose((one + other).directions[1], 0, atol=1e-5) and (one - other).name == "a-b"
    assert one.cosine(other)[2] == pytest.approx(-1, abs=1e-5)
    assert np.linalg.norm(one.unit().directions[0]) == pytest.approx(1)
    assert np.allclose((one * 2.0 + other).directions[1], one.directions[1], atol=1e-5)
    again = im.load(one.save(tmp_path / "v"))
    assert again.digest == one.digest and again.checkpoint == pool.card().digest and set(again.shuffled) == {0, 1, 2}
    assert again.diagnostics().equals(one.diagnostics())
    with pytest.raises(im.RequestError, match="no diagnostics"):
        (one * 2.0).diagnostics()
    twice = pool.steering_vector(POSITIVE, NEGATIVE, layer=[2], name="a")
    assert np.array_equal(twice.directions[2], one.directions[2]) and list(twice.directions) == [2]
    with pytest.raises(im.RequestError, match="different layers"):
        one + twice
    with pytest.raises(im.RequestError, match="of 'resid_pre'"):
        one + pool.steering_vector(POSITIVE, NEGATIVE, site="resid_pre")


def test_side_effects_are_perplexity_and_divergence(pool, tmp_path):
    vector = pool.steering_vector(POSITIVE, NEGATIVE)
    texts = [[0, 5, 6, 7, 9, 100], [0, 17, 44, 9]]
    run = pool.side_effects(vector, texts, scales=(0, 2.0, 8.0), layers=[0, 2])
    assert run.surprisal.shape == (2, 2, 3) and run.tokens.tolist() == [5, 3]
    assert np.allclose(run.surprisal[:, :, 0], run.plain, atol=1e-3) and np.abs(run.kl[:, 0]).max() < 1e-5
    assert (run.kl[:, 2] > run.kl[:, 1]).all()
    total = 0.0
    for ids in texts:
        lens = pool.lens(ids, layers=[-1], track=ids, steer=vector.at(2) * 8.0)
        column = {int(token): i for i, token in enumerate(lens.tracked_ids)}
        total -= sum(float(lens.tracked_logprobs[0, 0, place, column[token]]) for place, token in enumerate(ids[1:]))
    assert run.perplexity[1, 2] == pytest.approx(np.exp(total / 8), rel=1e-4)
    assert im.load(run.save(tmp_path / "s")).table().equals(run.table()) and "8 tokens" in repr(run)
    many = pool.side_effects(vector, [[0, i, 9, 4] for i in range(5, 65)], scales=(1.0,))
    assert np.allclose(many.plain[3], pool.side_effects(vector, [[0, 8, 9, 4]], scales=(1.0,)).plain, atol=1e-3)
    assert len(many.tokens) == 60


def test_a_vector_of_a_head_is_what_it_writes_into_the_stream(demo):
    """W_O maps the head's values to what attention adds, so the vector there and its image at attn_out are one."""
    from safetensors.torch import load_file

    from interp_magics.demo import MODEL_DIR

    head, layer, pairs = 3, 5, contrasts("mood", 4)
    texts = [a for a, _ in pairs], [b for _, b in pairs]
    vector = demo.steering_vector(*texts, position="mean", site="head_out", head=head, name="mood").at(layer)
    width = len(vector.directions[layer])
    written = (
        load_file(MODEL_DIR / "model.safetensors")[f"model.layers.{layer}.self_attn.o_proj.weight"].float().numpy()
    )
    image = im.SteeringVector(
        {layer: written[:, head * width : (head + 1) * width] @ vector.directions[layer]}, "attn_out"
    )
    asked = contrasts("mood", 2, seed=1)
    one, other = (demo.steerability(each, asked, positions="all", controls=False) for each in (vector, image))
    assert one.propensity == pytest.approx(other.propensity, abs=1e-3) and one.slope[0] > 0.05
    one, other = (demo.side_effects(each, ["Hello there."], scales=[2.0]) for each in (vector, image))
    assert one.divergence == pytest.approx(other.divergence, rel=1e-2)
    again = im.SteeringVector(vector.directions, "head_out", "mood", vector.made_from, vector.shuffled, head)
    same = im.SteeringVector({layer: np.ones(width)}, "head_out", head=np.int64(head))
    assert same.digest == im.SteeringVector({layer: np.ones(width)}, "head_out", head=head).digest
    assert again.digest == vector.digest and "head_out of head 3" in repr(vector * 2.0 + vector.random())


@pytest.mark.parametrize(
    "options, why",
    [
        ({"site": "head_out"}, "of one head"),
        ({"site": "resid_post", "head": 1}, "of one head"),
        ({"site": "head_out", "head": "1"}, "head is a whole number"),
        ({"site": "head_out", "head": 99}, "index 99 of 'head_out' does not exist"),
        ({"site": "mlp_act"}, "fitted where one can be written: attn_out"),
    ],
)
def test_a_head_is_named_where_there_are_heads(options, why, pool):
    with pytest.raises(im.RequestError, match=why):
        pool.steering_vector(POSITIVE, NEGATIVE, **options)


def test_operators_go_through_the_pool(pool):
    one, other = pool.steering_vector(POSITIVE, NEGATIVE), pool.steering_vector(POSITIVE, NEGATIVE, method="pca")
    found = {
        op: pool.lens([0, 5, 6], steer=one.edit(3.0, op)).top_logprobs
        for op in ("add", "add_keeping_norm", "ablate", "ablate_then_add")
    }
    plain = pool.lens([0, 5, 6]).top_logprobs
    assert all(not np.allclose(values, plain) for values in found.values())
    assert not np.allclose(found["add"], found["ablate_then_add"])
    alone = pool.lens([0, 5, 6], steer=im.ablate_subspace([one])).top_logprobs
    assert np.allclose(alone, found["ablate"], atol=1e-4)
    both = pool.capture([[0, 5, 6]], sites="resid_post", layers=[1], steer=im.ablate_subspace([one.at(1), other.at(1)]))
    values = both.array("resid_post", 1, row=0)
    for vector in (one, other):
        assert np.abs(values @ vector.unit().directions[1]).max() < 1e-4
    held = pool.capture([[0, 5, 6]], sites="resid_post", layers=[1], steer=one.at(1).clamp(-0.5, 0.25))
    found = held.array("resid_post", 1, row=0) @ one.unit().directions[1]
    assert found.min() > -0.5 - 1e-4 and found.max() < 0.25 + 1e-4
    with pytest.raises(im.RequestError, match="low, high or both"):
        one.clamp()
    with pytest.raises(im.RequestError, match="different layers"):
        im.ablate_subspace([one, other.at(1)])


def test_steering_under_a_condition_goes_through_the_pool(pool):
    one, guard = (
        pool.steering_vector(POSITIVE, NEGATIVE),
        pool.steering_vector(POSITIVE, NEGATIVE, method="pca", layer=[0]),
    )
    values = pool.capture([[0, 5, 6, 7]], sites="resid_post", layers=[0]).array("resid_post", 0, row=0)
    found = values @ guard.unit().directions[0]
    order = np.sort(found)
    plain = pool.lens([0, 5, 6, 7]).top_logprobs
    for threshold, kept in ((order[-1] + 1, 4), ((order[1] + order[2]) / 2, None), (order[0] - 1, 0)):
        edit = one.at(2).edit(5.0, when=guard.above(threshold))
        steered = pool.lens([0, 5, 6, 7], steer=edit).top_logprobs
        same = np.isclose(steered[0, 2], plain[0, 2], atol=1e-5).all(-1)
        assert same.tolist() == (found <= threshold).tolist() and (kept is None or same.sum() == kept)
    with pytest.raises(im.RequestError, match="one layer"):
        one.above(0.0)
    with pytest.raises(im.RequestError, match="not computed before"):
        pool.generate([0, 5], 2, steer=one.at(0).edit(when=one.above(0.0, layer=2)))


def test_a_vector_of_another_checkpoint_is_refused_unless_forced(pool, demo):
    vector = pool.steering_vector(POSITIVE, NEGATIVE, name="theirs")
    other = im.SteeringVector(vector.directions, made_from={"checkpoint": "0" * 64, "model": "llama"})
    for call in (
        lambda: pool.generate([0, 1], 2, steer=other),
        lambda: pool.lens([0, 1], steer=other.edit(2.0)),
        lambda: pool.steerability(other, ITEMS),
    ):
        with pytest.raises(im.RequestError, match=r"was made on llama \(000000000000\), not on qwen3"):
            call()
    assert pool.generate([0, 1], 2, steer=other.forced()).completion_ids.shape == (2,)
    with pytest.raises(im.RequestError, match="made on qwen3"):
        demo.generate("Hello", 2, steer=vector)
    with pytest.raises(im.RequestError, match="width 48"):
        demo.generate("Hello", 2, steer=vector.forced())


@pytest.mark.parametrize(
    "call, why",
    [
        (lambda p, v: p.steering_vector([], NEGATIVE), "no positive texts"),
        (lambda p, v: p.steering_vector(POSITIVE[0], NEGATIVE[0]), "1 positive text: a vector needs at least 2"),
        (lambda p, v: p.steering_vector(POSITIVE, NEGATIVE, method="pac"), "'pca'"),
        (lambda p, v: p.steering_vector(POSITIVE, NEGATIVE, position="lable"), "'label'"),
        (lambda p, v: p.steering_vector(POSITIVE, NEGATIVE, position="generated"), "'generated'"),
        (lambda p, v: p.steering_vector(POSITIVE, NEGATIVE, position=9), "position 9 is outside"),
        (lambda p, v: p.steering_vector(["a b"] * 2, ["a b c", "a d"], position=Span("b")), "'b' does not occur"),
        (lambda p, v: p.steering_vector([[0] * 999, [1]], [[2], [3]]), "text 0 of the list|context"),
        (lambda p, v: p.steerability(v, ITEMS, layers=[9]), "layer 9"),
        (lambda p, v: p.steerability(v, [([0, 1, 2], [0, 1, 2])]), "item 0 are the same"),
        (lambda p, v: p.steerability(v, [[0, 1, 2]]), "no pair"),
        (lambda p, v: p.steerability(v, ITEMS, scales=[1]), "two scales"),
        (lambda p, v: p.steerability(v, ITEMS, scales=[1, float("nan")]), "finite"),
        (lambda p, v: p.steerability(v, ITEMS, unit="rwa"), "'raw'"),
        (lambda p, v: p.steerability(v, ITEMS, positions="generated"), "never written"),
        (lambda p, v: p.steerability(v, ITEMS, scales=["a", 1]), "finite numbers"),
        (lambda p, v: p.steerability(v, None), "not NoneType"),
        (lambda p, v: p.steerability(v, [("a b", "a c"), ("", "x")]), "text 2 of the list"),
        (lambda p, v: p.steered([0, 1], v, wait=False), "wait=: this call makes several jobs"),
        (lambda p, v: p.steered([0, 1], ()), "nothing to compare"),
        (lambda p, v: p.steer_eval([{"x": 1}] * 3), "no question that can be used"),
        (lambda p, v: p.steer_eval(ITEMS, wait=False), "wait="),
        (lambda p, v: p.steerability({}, ITEMS), "is a SteeringVector, not a dict"),
        (lambda p, v: p.steerability(v, "nowhere.jsonl"), "there is no file"),
        (lambda p, v: im.SteeringVector({0: np.full(48, np.nan)}), "not finite"),
    ],
)
def test_bad_input_is_told_before_anything_is_paid_for(call, why, pool):
    vector = im.SteeringVector({0: np.ones(48)})
    with pytest.raises(im.RequestError, match=why):
        call(pool, vector)
