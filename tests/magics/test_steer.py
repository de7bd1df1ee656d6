"""`%steer` and `%%steer` in a real shell."""

import json

import numpy as np
import pytest

import interp_magics as im

CELL = "+ The food is good\n- The food is bad\n\n+ Paris is good\n- Paris is bad\n"


@pytest.fixture
def questions(tmp_path):
    rows = [{"question": f"Is {word}", "positive": "good", "negative": "bad"} for word in ("Paris", "food", "it")]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "q.jsonl"


def test_a_cell_is_fitted_and_bound(cell):
    vector = cell(f"%%steer -l 1: --at label kind\n{CELL}")
    assert cell("kind") is vector and isinstance(vector, im.SteeringVector)
    assert list(vector.directions) == [1, 2] and vector.name == "kind"
    same = cell(f"%%steer -q -o other --at -1 --method logistic\n{CELL}") or cell("other")
    assert list(same.directions) == [0, 1, 2]
    assert "<table" in vector._repr_mimebundle_()["text/html"] and "separation" in str(vector)


def test_a_text_goes_on_twice(cell):
    cell(f"%%steer -q -l 1 push\n{CELL}")
    both = cell("%steer -v push --scale 30 -n 6 Is it a question?")
    assert isinstance(both, im.SteeredText) and both.prompt.endswith("question?")
    assert both.plain.completion.text != both.steered.completion.text
    assert both.effect > 0 and both.cost > 0
    alone = cell("%lens -q -o r -n 6 Is it a question?") or cell("r")
    assert np.array_equal(alone.completion_ids, both.plain.completion.completion_ids)
    logprobs = alone.top_logprobs[0, -1, alone.meta.prompt_length - 1 :, 0]
    assert np.abs(logprobs - both.plain.plain).max() < 1e-4
    html = both._repr_mimebundle_()["text/html"]
    assert "steered by push" in html and "<script" not in html
    ablated = cell("%steer -v push --op ablate -p generated -n 4 --seed 3 Hello")
    assert len(ablated.steered.tokens) == 4
    cell(f"%%steer -q wide\n{CELL}")
    some = cell("%steer -v wide -l 1 --scale 30 -n 6 Is it a question?")
    assert some.steered.tokens == both.steered.tokens and some.steering == "wide"
    assert ablated.steering == "push"
    none = cell("%steer -v push --scale 0 -n 4 Hello")
    assert none.effect == pytest.approx(0, abs=1e-5) and none.plain.tokens == none.steered.tokens


def test_hostile_text_stays_text(cell):
    cell(f"%%steer -q -l 1 push\n{CELL}")
    both = cell("%steer -v push -n 2 </span><script>alert(1)</script> {x} $HOME;")
    assert both.prompt == "</span><script>alert(1)</script> {x} $HOME;"
    assert "<script>" not in both._repr_mimebundle_()["text/html"]


def test_a_slope_is_measured(cell, questions):
    cell(f"%%steer -q push\n{CELL}")
    run = cell(f"%steer -v push --slope {questions} -l 1: --scales -2,0,2 -o curve")
    assert isinstance(run, im.SteerabilityRun) and cell("curve") is run
    assert run.layers == (1, 2) and run.meta.scales == (-2.0, 0.0, 2.0) and run.meta.curves[0] == "push"
    assert isinstance(cell(f"%steer -a -v push --slope {questions}"), im.Job)
    assert cell(f"%steer --dry-run -v push --slope {questions}").tokens > 0
    bundle = run._repr_mimebundle_()[0]
    assert "turn away" in bundle["text/html"] and "anti_steerable" in bundle["text/plain"]


def test_the_code_is_the_call(cell, capsys, questions):
    cell(f"%%steer -q push\n{CELL}")
    capsys.readouterr()
    for source, says in (
        (
            f"%%steer --show-code --at mean name\n{CELL}",
            "name = pool.steering_vector(['The food is good', 'Paris is good'], ",
        ),
        ("%steer --show-code -v push --scale 2 -n 3 x y", "pool.steered('x y', [push * 2.0], max_new_tokens=3)"),
        ("%steer --show-code -v push -l 1: --scale 2 x", "pool.steered('x', [push.at(1, 2) * 2.0])"),
        ("%steer --show-code -v push --op ablate x", "pool.steered('x', [(push).edit(op='ablate')])"),
        ("%steer --show-code -v push --slope f.json -o c", "c = pool.steerability(push, im.read_questions('f.json'))"),
    ):
        assert cell(source) is None
        assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("%steer x", "name the vector"),
        (
            "%steer -v push --method pca x",
            "--method means nothing when a text is steered; it is for use when a cell is fitted",
        ),
        ("%steer -v push --slope q.json --op ablate", "--op means nothing with --slope"),
        ("%%steer -v push\n+ x", "--vector means nothing when a cell is fitted"),
        ("%steer -v push -l 0 x", "the vector has no layer 0"),
        ("%steer -v push --timeout 0.0001 -n 100 x", "0.0001"),
        ("%steer -v", "needs a value"),
        ("%steer -v nobody x", "no steering vector 'nobody'"),
        ("%steer -v push", "there is no text"),
        ("%steer -a -v push x", "no one job"),
        ("%steer -v push --op remove x", "invalid choice"),
        ("%steer --slope nowhere.jsonl", "measures one vector, not 0"),
        ("%steer -v push --slope nowhere.jsonl", "there is no file"),
        ("%steer -v push --slope nowhere.jsonl and text", "from the file, not"),
        ("%steer -v push --slope q.json --scales a,b", "numbers joined by commas"),
        ("%%steer\n* neither", "line 1: '* neither' begins with neither"),
        ("%%steer\n+ only one\n- and one", "needs at least 2 on each side"),
        ("%%steer -o a b\n+ x", "two names"),
        (f"%%steer --at lable\n{CELL}", "did you mean 'label'"),
        (f"%%steer --method pac\n{CELL}", "did you mean 'pca'"),
        ("%%steer --at label\n+ same\n- same\n+ a\n- b", "pair 0 are the same"),
    ],
)
def test_faults_are_one_line(cell, source, says):
    cell(f"%%steer -q -l 1: push\n{CELL}")
    error = cell(source)
    assert isinstance(error, Exception) and says in str(error), error
    assert "\n" not in str(error).strip()
