"""The magics in a real shell."""

import subprocess
import sys

import numpy as np
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError

import interp_magics as im
from tests.pool.conftest import wait_for

HOSTILE = [
    "say {x} {nope} $HOME $(ls)",
    "it's \"quoted\" -l 3 'two words'",
    "ends with a semicolon;",
    "  leading blanks",
    "漢字 é 😀 \u202e",
    "</script><img src=x onerror=alert(1)>",
    "a %s %d {0} \\n \\",
    "What is the capital of France?",
    "? help??",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_prompt_goes_through_the_line_magic_unharmed(cell, text):
    assert _text(cell(f"%lens {text}")) == text


@pytest.mark.parametrize("text", [*HOSTILE, "two\nlines\n", "%lens not a magic", "--each-line is text here"])
def test_a_prompt_goes_through_the_cell_magic_unharmed(cell, text):
    assert _text(cell(f"%%lens -q -o run\n{text}\n") or cell("run")) == text


def _text(run):
    pieces = []
    for token in run.tokens:
        inner = token[1:-1].replace(" ", "")
        is_bytes = token[:1] == "<" and token[-1:] == ">" and inner and all(c in "0123456789ABCDEF" for c in inner)
        pieces.append(bytes.fromhex(inner) if is_bytes else token.encode())
    return b"".join(pieces).decode()


def test_options_reach_the_call(cell):
    run = cell("%lens -l -2: -k 3 -s resid_post,mlp_out -t Paris -n 2 --seed 4 -o named The quick")
    assert run.layers == (1, 2) and run.top_ids.shape[-1] == 3 and run.sites == ("resid_post", "mlp_out")
    assert len(run.completion_ids) == 2 and len(run.tracked_ids) == 1
    assert cell("named") is run


def test_each_line_is_a_text_of_its_own(cell):
    runs = cell("%%lens --each-line\nThe quick\n\nParis is\n")
    assert [_text(r) for r in runs] == ["The quick", "Paris is"]


def test_quiet_shows_nothing_and_binds(cell):
    assert cell("%lens -q -o kept The quick") is None
    assert isinstance(cell("kept"), im.LensRun)


def test_a_job_comes_at_once_and_ends(cell):
    job = cell("%lens -a -n 3 The quick")
    assert isinstance(job, im.Job) and len(job.result(120).completion_ids) == 3


def test_a_capture_is_bound_to_the_name_at_the_end(cell):
    acts = cell("%%capture_layers -l 1: -s resid_post,mlp_out acts\nThe quick\nbrown fox\n")
    assert cell("acts") is acts and len(acts.rows) == 1
    assert _text(acts.rows[0]) if hasattr(acts.rows[0], "tokens") else "".join(acts.tokens()) == "The quick\nbrown fox"
    lines = cell("%%capture_layers --each-line -q -o lines\nThe quick\nbrown fox\n") or cell("lines")
    assert len(lines.rows) == 2
    assert "two names" in str(cell("%%capture_layers -o a b\nx"))


def test_names_in_braces_are_filled_only_when_asked_and_strictly(cell):
    cell("animal = 'fox'")
    assert _text(cell("%lens -f The {animal}")) == "The fox"
    assert "there is no variable 'animl'; did you mean 'animal'" in str(cell("%lens -f The {animl}"))
    assert isinstance(cell("%lens -f a { b"), UsageError)


def test_a_dry_run_runs_nothing_and_the_code_is_the_call(cell, capsys):
    assert isinstance(cell("%lens --dry-run -n 5 The quick"), im.api.Estimate)
    capsys.readouterr()
    cell("%lens --show-code -l ::2 -o out -t ' Paris' It's {x}")
    code = capsys.readouterr().out.strip()
    assert code == "out = pool.lens(\"It's {x}\", layers='::2', track=[' Paris'])"


def test_steering_by_a_variable(cell, shell):
    shell.push({"push": im.SteeringVector({1: np.full(48, 5.0)})})
    plain, same, steered = (
        cell(f"%lens -q -o r {o} -n 6 The quick") or cell("r") for o in ("", "-v push --scale 0", "-v push")
    )
    assert plain.completion == same.completion != steered.completion
    assert "did you mean 'push'" in str(cell("%lens -v pusch x"))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("%lens", "there is no text"),
        ("%lens --layrs 3 x", "did you mean '--layers'"),
        ("%lens -l 99 x", "layer 99 does not exist"),
        ("%lens -s resid_pst x", "did you mean 'resid_post'"),
        ("%lens -m qwen4 x", "did you mean 'qwen3'"),
        ("%lens -o 3x y", "not a name"),
        ("%lens -k many x", "invalid int"),
        ("%%lens on the line\nx", "takes its text from the cell"),
        ("%pool uze x", "did you mean 'use'"),
        ("%lens --scale 3 x", "--scale needs a vector"),
    ],
)
def test_the_users_fault_is_one_line_with_a_suggestion(cell, source, says):
    error = cell(source)
    assert isinstance(error, UsageError) and says in str(error) and "\n" not in str(error)


def test_the_pool_shows_itself(cell):
    assert "qwen3: serving" in str(cell("%pool"))
    assert "resid_post" in str(cell("%pool card")) and isinstance(cell("%pool jobs"), list)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("%lens --tra", "--track"),
        ("%lens -s resid", "resid_mid"),
        ("%%capture_layers --re", "--reduce"),
        ("%pool u", "use"),
        ("%lens -m q", "qwen3"),
        ("%lens -v pu", "push_vector"),
        ("%lens --priority in", "interactive"),
    ],
)
def test_completion_knows_options_sites_models_and_vectors(shell, cell, text, word):
    shell.push({"push_vector": im.SteeringVector({1: np.ones(48)})})
    cell("%pool")
    with provisionalcompleter():
        assert word in [c.text for c in shell.Completer.completions(text, len(text))]


def test_completion_leaves_the_prompt_alone(shell):
    with provisionalcompleter():
        found = [c.text for c in shell.Completer.completions("%lens -k 3 The --tra", 20)]
    assert "--track" not in found


def test_it_can_be_reloaded_and_taken_back(model):
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S\n"
        "s = S.instance(); before = len(s.Completer.custom_matchers), len(s.input_transformers_cleanup)\n"
        "s.run_line_magic('load_ext', 'interp_magics'); s.run_line_magic('reload_ext', 'interp_magics')\n"
        "assert {'lens', 'pool'} <= set(s.magics_manager.magics['line'])\n"
        "s.run_line_magic('unload_ext', 'interp_magics')\n"
        "assert not {'lens', 'capture_layers'} & set(s.magics_manager.magics['cell'])\n"
        "assert before == (len(s.Completer.custom_matchers), len(s.input_transformers_cleanup))\n"
        "assert not [c for c in s.configurables if type(c).__name__ == 'InterpMagics']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_neither_import_nor_load_ext_brings_torch_or_numpy():
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()\n"
        "before = set(sys.modules); s.run_line_magic('load_ext', 'interp_magics')\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "assert not new & {'torch', 'transformers', 'numpy', 'zmq', 'msgspec', 'anywidget', 'interp_widgets', 'pandas'}, new\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_result_is_shown_as_widget_table_and_text(cell):
    data, _ = cell("%lens </script><b> {x}")._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "<script" not in data["text/html"] and "<b>" not in data["text/html"] and "&lt;" in data["text/html"]
    assert "LensRun" in data["text/plain"]


def test_jobs_are_listed_and_found_again_by_the_beginning_of_their_id(cell):
    job = cell("%lens -a the capital").id
    table = cell("%jobs")
    assert table.index[0] == job and table.loc[job, "method"] == "lens"
    assert cell(f"%jobs {job[:8]}").id == job
    assert len(cell(f"%jobs {job}").result(120).token_ids) >= 2
    assert "there is no job 'zzz'" in str(cell("%jobs zzz"))
    assert "one job at most" in str(cell("%jobs a b"))


def test_the_panel_follows_the_pool_until_it_is_closed(cell):
    status = cell("%pool")
    panel = status.widget()
    try:
        before = panel.state["uptime"]
        cell("%lens -q the capital")
        wait_for(lambda: panel.state["uptime"] > before and panel.state["jobs"][-1]["state"] == "done")
        assert panel.state["groups"][0]["devices"][0]["total"] > 1e9
        assert {share["name"] for share in panel.state["quota"]} == {"waiting", "running rows", "objects", "results"}
    finally:
        panel.close()
    assert panel.closed


def test_the_panels_button_ends_a_job(cell):
    status = cell("%pool")
    status.source.manage("pause")
    panel = status.widget()
    try:
        job = cell("%lens -a the capital")
        panel.cancelling = [job.id]
        wait_for(lambda: job.done)
        assert job.progress.state == "cancelled"
    finally:
        status.source.manage("resume")
        panel.close()


def test_attribution_explains_a_prediction_and_shows_its_call(cell, capsys):
    found = cell("%attribution -o why The quick brown fox")
    assert found.token_ids.ndim == 1 and cell("why") is found
    cell('%attribution --show-code -t " dog" --foil " fox" -p 2 the text, verbatim')
    said = capsys.readouterr().out
    assert "pool.attribution('the text, verbatim', target=' dog', foil=' fox', position=2)" in said
    assert "there is no text" in str(cell("%attribution -q"))
    assert cell("%attribution What is the capital?").token_ids.ndim == 1
    assert "position" in str(cell("%attribution -p 400 two words"))
