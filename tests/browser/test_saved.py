"""What a reader sees of a notebook that was saved: as docs/saved.md says."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests import checkpoints
from tests.browser.conftest import IDLE, TOKEN, drawn, patient, served, write

TEXT = "The capital </script><b>of</b> France"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return checkpoints.make("qwen3", tmp_path_factory.mktemp("models"))


@pytest.fixture
def executed(model, tmp_path, monkeypatch):
    """The notebook as a kernel leaves it, widget state not saved."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    cells = [f"%load_ext interp_magics\n%config InterpMagics.model = {str(model)!r}", f"%lens {TEXT}"]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(made, timeout=120, store_widget_state=False).execute()
    return made


def test_a_page_of_nbconvert_has_the_run_as_a_table(executed, browser, tmp_path):
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter().from_notebook_node(executed)
    (tmp_path / "page.html").write_text(body, encoding="utf-8")
    context = patient(browser.new_context(offline=True))
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    table = page.locator(".jp-RenderedHTMLCommon table").last
    assert "top token by layer" in table.inner_text() and table.locator("td").count() >= 9
    assert table.locator("b, script").count() == 0
    context.close()


def test_a_terminal_and_a_host_of_code_have_text_and_table(executed):
    data = executed.cells[1].outputs[-1]["data"]
    assert "LensRun('qwen3'" in data["text/plain"] and "layer" in data["text/plain"]
    assert (
        data["text/html"].startswith("<table")
        and "<script" not in data["text/html"]
        and "style>" not in data["text/html"]
    )


def reopened(address: str, root: Path, browser, model) -> object:
    """The notebook run and saved in one session, and opened in a page after its kernel is gone."""
    cells = [f"%load_ext interp_magics\n%config InterpMagics.model = {str(model)!r}", f"%lens {TEXT}"]
    write(root / "saved.ipynb", cells)
    page = patient(browser.new_page(viewport={"width": 1200, "height": 900}))
    page.goto(f"{address}/lab/workspaces/saved-first/tree/saved.ipynb?token={TOKEN}")
    page.wait_for_function(IDLE)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    drawn(page)
    page.locator(".jp-InputPrompt", has_text=re.compile(r"\d")).nth(len(cells) - 1).wait_for()
    page.wait_for_function(IDLE)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()
    again = patient(browser.new_page(viewport={"width": 1200, "height": 900}))
    again.goto(f"{address}/lab/workspaces/saved-again/tree/saved.ipynb?token={TOKEN}")
    again.wait_for_function(IDLE)
    return again


def test_lab_with_a_fresh_kernel_says_that_it_has_no_widget(lab, browser, model):
    page = reopened(*lab, browser, model)
    page.get_by_text(re.compile("Error displaying widget|Loading widget")).first.wait_for()
    assert page.locator(".iw-lens").count() == 0
    page.close()


def test_lab_that_saves_widget_state_shows_the_lens_again(tmp_path, browser, model):
    settings = tmp_path / "config/lab/user-settings/@jupyter-widgets/jupyterlab-manager"
    settings.mkdir(parents=True)
    (settings / "plugin.jupyterlab-settings").write_text(json.dumps({"saveState": True}))
    with served("jupyterlab", "LabApp", tmp_path) as (address, root):
        page = reopened(address, root, browser, model)
        lens = drawn(page)
        lens.get_by_role("grid").focus()
        page.keyboard.press("ArrowRight")
        assert "layer" in lens.locator(".iw-live").inner_text()
        assert lens.locator("input").count() == 0, "nobody is there to answer a question"
        page.close()
