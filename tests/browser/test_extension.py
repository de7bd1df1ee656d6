"""The extension in JupyterLab and Notebook 7: the panel beside the notebook, commands on a selection, colours of options."""

import json

import pytest

from tests import checkpoints
from tests.browser.conftest import IDLE, TOKEN, drawn, patient, show_panel, write
from tests.browser.test_lab import run_cell
from tests.pool.conftest import wait_for


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return checkpoints.make("qwen3", tmp_path_factory.mktemp("models"))


@pytest.fixture
def setup(model):
    return f"%load_ext interp_magics\n%config InterpMagics.model = {str(model)!r}"


def test_the_panel_follows_the_pools_of_my_kernels_and_ends_a_job(notebook, setup):
    page = notebook("panel", [setup])
    panel = show_panel(page)
    panel.get_by_text("No pool is configured").wait_for()
    own = "get_ipython().magics_manager.registry['InterpMagics'].session.pool"
    run_cell(page, f"own = {own}\nown.lens('one two')\nprint('ready')")
    panel.get_by_text("serving").wait_for()
    start = "job = own.lens(['one two three'] * 600, generate=110, temperature=1.0, seed=1, wait=False); print(job.id)"
    job = run_cell(page, start)
    button = panel.locator(f"button[data-job='{job}']")
    button.click()
    ended = "try:\n    job.result(120)\nexcept Exception as error:\n    print(type(error).__name__)"
    assert run_cell(page, ended) == "Cancelled"
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    panel.get_by_text("No pool is configured").wait_for()


def test_two_notebooks_of_a_user_see_the_same_pool(notebook, setup, lab):
    page = notebook("one", [setup, "run = %lens one two"])
    panel = show_panel(page)
    endpoint = panel.locator(".iw-title").first
    endpoint.wait_for()
    other = notebook("two", ["print('here')"])
    seen = show_panel(other)
    seen.locator(".iw-title").first.wait_for()
    assert seen.locator(".iw-title").first.inner_text() == endpoint.inner_text()


def test_a_selection_is_lensed_and_steered_from_the_palette(notebook, setup):
    page = notebook("select", [setup, "'The capital of France is'"])
    page.wait_for_function("document.querySelectorAll('.jp-OutputArea-output').length >= 1")
    page.evaluate(
        """() => {
            const notebook = window.jupyterapp.shell.currentWidget.content;
            notebook.activeCellIndex = 1;
            notebook.activeCell.editor.setSelection({ start: { line: 0, column: 5 }, end: { line: 0, column: 22 } });
        }"""
    )
    page.evaluate("void window.jupyterapp.commands.execute('interp-magics:lens')")
    drawn(page)
    source = "window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.getSource()"
    assert page.evaluate(source) == "%lens -- capital of France"
    page.evaluate("void window.jupyterapp.commands.execute('interp-magics:steer')")
    page.wait_for_function(f"{source}.startsWith('%steer -v VECTOR')")
    assert page.evaluate("window.jupyterapp.commands.listCommands().filter(id => id.startsWith('interp-magics:'))") == [
        "interp-magics:pool",
        "interp-magics:lens",
        "interp-magics:steer",
    ]


def test_options_of_our_magics_have_colours_and_prompts_have_one(notebook):
    page = notebook("colours", ["%timeit -n 1 pass"])
    page.evaluate(
        """async () => {
            const app = window.jupyterapp;
            await app.commands.execute('notebook:insert-cell-below');
            app.shell.currentWidget.content.activeCell.model.sharedModel.setSource("run = %lens -k 3 the -k is text");
        }"""
    )
    page.locator(".iw-code-text").first.wait_for()
    found = {kind: page.locator(f".iw-code-{kind}").all_inner_texts() for kind in ("magic", "option", "value", "text")}
    assert found["magic"] == ["%lens"] and "".join(found["option"]) == "-k" and found["value"] == ["3"]
    assert "".join(found["text"]) == "the -k is text"


def test_notebook_7_has_the_lens_the_commands_and_the_server(notebook7, browser, setup):
    address, root = notebook7
    cells = [setup, "%lens The capital of France is"]
    write(root / "seven.ipynb", cells)
    page = patient(browser.new_page(viewport={"width": 1280, "height": 1200}))
    errors = []
    page.on("pageerror", lambda error: errors.append(error.stack or ""))
    page.goto(f"{address}/notebooks/seven.ipynb?token={TOKEN}")
    page.wait_for_function(IDLE)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    drawn(page)
    assert page.evaluate("window.jupyterapp.commands.hasCommand('interp-magics:lens')")
    found = {}

    def told():
        found.update(page.evaluate(f"fetch('{address}/interp-magics/pools?token={TOKEN}').then(a => a.json())"))
        return found["pools"]

    wait_for(told)
    assert found["pools"][0]["own"] and found["pools"][0]["state"]["models"][0]["state"] == "serving"
    assert "key" not in json.dumps(found), "the browser is told no address with a key"
    assert not [stack for stack in errors if "interp-magics" in stack]
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()


def test_nobody_but_the_server_s_user_is_answered(lab, browser):
    address, _ = lab
    page = patient(browser.new_page())
    answer = page.request.get(f"{address}/interp-magics/pools", max_redirects=0)
    assert answer.status in (302, 403)
    assert page.request.post(f"{address}/interp-magics/cancel", data="{}", max_redirects=0).status == 403
    signed = f"{address}/interp-magics/cancel?token={TOKEN}"
    assert page.request.post(signed, data='{"job": 3}').status == 400
    assert page.request.post(signed, data='{"pool": "nowhere", "job": "x"}').status == 409
    page.close()
