"""`%sae` and `%features` in a real shell."""

import json

import numpy as np
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError

import interp_magics as im

WORDS = ["good", "bad", "food", "Paris", "is", "the", "and", "not", "very", "sea"]


@pytest.fixture(scope="module")
def names(shell):
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS, 12)) for _ in range(120)]
    shell.push(
        {
            "texts": texts,
            "goods": [f"good good {t}" for t in texts[:20]],
            "bads": [f"bad sea {t}" for t in texts[20:40]],
        }
    )


@pytest.fixture
def sae(cell, names):
    made = cell("%sae train -l 1 --latents 48 -k 4 --tokens 4000 --batch 400 --seed 1 -o sae texts")
    assert isinstance(made, im.Dictionary) and cell("sae") is made
    return made


def test_a_dry_run_of_a_training_says_what_it_costs_and_trains_nothing(cell, names):
    few, many = (cell(f"%sae train --dry-run -l 1 --latents 48 -k 4 --tokens {n} texts") for n in (4000, 4_000_000))
    assert few.tokens == pytest.approx(4000, rel=0.2) and many.seconds > 500 * few.seconds > 0
    assert str(few).startswith("training, ") and "texts" not in str(few)
    assert "has layers 0 to" in str(cell("%sae train --dry-run -l 99 texts"))
    assert "leave --dry-run out" in str(cell("%sae eval --dry-run sae texts"))


def test_a_dictionary_is_trained_evaluated_saved_and_loaded(cell, sae, tmp_path):
    assert (sae.latents, sae.layer, len(sae.history) > 0) == (48, 1, True)
    found = cell("%sae eval -o worth sae texts")
    assert found.fidelity.tokens > 1000 and "CE score" in repr(found)
    assert cell(f"%sae save sae {tmp_path / 'mine'}") == tmp_path / "mine"
    again = cell(f"%sae load -o again {tmp_path / 'mine'}")
    assert (
        again.digest == sae.digest and json.loads((tmp_path / "mine" / "manifest.json").read_text())["recipe"]["k"] == 4
    )
    assert len(again.history) == len(sae.history)


def test_a_file_stands_for_its_texts_and_a_job_for_what_is_to_come(cell, sae, names, tmp_path):
    for name in ("texts", "goods", "bads"):
        (tmp_path / f"{name}.txt").write_text("\n".join(cell(name)))
    one, other = cell(f"%sae eval sae {tmp_path / 'texts.txt'}"), cell("%sae eval -a -o later sae texts")
    assert isinstance(other, im.Job) and cell("later") is other
    assert other.result(120).fidelity.tokens == one.fidelity.tokens > 1000
    rows = cell(f"%features search -o found sae {tmp_path / 'goods.txt'} {tmp_path / 'bads.txt'}")
    job = cell("%features search -a sae goods bads")
    assert np.array_equal(job.result(120).columns["area"], cell("found").columns["area"]) and len(rows) == 10


def test_features_are_read_shown_searched_and_tested(cell, sae):
    table = cell("%features read -o table sae texts")
    assert isinstance(table, im.FeatureTable) and table.latents == 48
    latent = int(table.density.argmax())
    shown = cell(f'%features show -o seen --sae sae --prompt "good Paris" table {latent}')
    assert shown is cell("seen") and shown.opened == latent and shown.prompt.values.shape[1] == 48
    assert cell("%features show table").opened == -1
    rows = cell("%features search -k 5 -o found sae goods bads")
    assert list(rows.columns)[:2] == ["area", "q"] and len(rows) == 5 and cell("found").meta.counts == (20, 20)
    proof = cell(f'%features test --behaviour "a|e" -n 4 --table table --neutral bads sae {latent} goods bads')
    assert proof.latent == latent and proof.verdict in ("causal", "correlational", "inconclusive")
    assert list(proof.table().columns) == ["change", "value", "behaviour", "controls_mean", "controls_max"]


def test_the_python_call_is_shown(cell, names, capsys):
    assert cell("%sae train -l 2 -k 4 --show-code -o x texts") is None
    assert "x = pool.train_sae(texts, 2, k=4)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("%sae trian texts", "unknown command 'trian'; did you mean 'train'"),
        ("%sae train texts", "%sae train -l LAYER"),
        ("%sae train -l 1 text", "there is no variable and no file 'text'; did you mean 'texts'"),
        ("%sae train -l 99 texts", "layer"),
        ("%sae train -l 1 --architecture topp texts", "did you mean 'topk'"),
        ("%sae eval no texts", "there is no dictionary 'no'"),
        ("%features show nothing", "there is no table of features 'nothing'"),
        ("%features test sae 1 goods bads", "--behaviour"),
        ("%features search sae goods", "%features search"),
        ("%features read -a sae texts", "more than one job"),
        ("%sae train -a -l 1 texts", "more than one job"),
    ],
)
def test_the_users_fault_is_one_line(cell, names, line, says):
    error = cell(line)
    assert isinstance(error, UsageError) and says in str(error) and "\n" not in str(error)


def test_names_are_completed(shell, cell, sae):
    def complete(text):
        with provisionalcompleter():
            return [c.text for c in shell.Completer.completions(text, len(text))]

    assert "train" in complete("%sae tr") and "--expansion" in complete("%sae train --exp")
    assert "sae" in complete("%features read s")
