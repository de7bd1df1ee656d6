"""What a person does in JupyterLab: run, hover, pin, read back, change the theme, keep the page."""

import json
import re

import pandas as pd
import pytest
from PIL import Image

from tests import checkpoints
from tests.browser.conftest import drawn, patient
from tests.pool.conftest import wait_for

TEXT = "The capital </script><b>of</b> France is {x} 漢 😀"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return checkpoints.make("qwen3", tmp_path_factory.mktemp("models"))


@pytest.fixture
def cells(model):
    return [
        f"%load_ext interp_magics\n%config InterpMagics.model = {str(model)!r}",
        f"%lens -q -o run -t Paris {TEXT}",
        "view = run.widget()\nview",
    ]


def cell_point(lens, row, column, columns=3):
    """Pixel of a cell of the map."""
    box = lens.locator("canvas").bounding_box()
    width = min(92, (box["width"] - 132) / columns)
    return box["x"] + 132 + (column + 0.5) * width, box["y"] + 20 + (row + 0.5) * 22


def begin_cell(page, source):
    """Append a cell and begin it; its locator."""
    before = page.locator(".jp-Cell").count()
    page.evaluate(
        """async (source) => {
            const app = window.jupyterapp;
            const notebook = app.shell.currentWidget.content;
            notebook.activeCellIndex = notebook.widgets.length - 1;
            await app.commands.execute('notebook:insert-cell-below');
            notebook.activeCell.model.sharedModel.setSource(source);
            void app.commands.execute('notebook:run-cell');
        }""",
        source,
    )
    return page.locator(".jp-Cell").nth(before)


def ended(cell):
    """Wait until the cell has a number."""
    cell.locator(".jp-InputPrompt", has_text=re.compile(r"\d")).wait_for()


def run_cell(page, source):
    """Append a cell, run it, and give its text output."""
    cell = begin_cell(page, source)
    ended(cell)
    output = cell.locator(".jp-OutputArea-output").first
    output.wait_for()
    return output.inner_text().strip()


def test_hover_pin_and_read_the_pin_back_in_python(notebook, cells, tmp_path):
    page = notebook("pin", cells)
    lens = drawn(page)
    page.mouse.move(*cell_point(lens, 2, 1))
    card = lens.locator(".iw-card")
    card.wait_for(state="visible")
    assert "layer 1 · position 2" in card.inner_text()
    assert card.locator(".iw-probability").count() == 5
    page.mouse.click(*cell_point(lens, 2, 1))
    lens.locator(".iw-way").wait_for(state="attached")
    pins = json.loads(run_cell(page, "import json; print(json.dumps(view.pins))"))
    top = int(run_cell(page, "print(int(run.top_ids[0, 1, 2, 0]))"))
    assert pins == [{"site": "resid_post", "position": 2, "layer": 1, "token_id": top}]
    run_cell(page, "view.pins = []; view.mode = 'entropy'; print('set')")
    page.wait_for_function("document.querySelector('.iw-lens [aria-checked=true]').textContent === 'entropy'")
    assert lens.locator(".iw-way").count() == 0


def test_the_keyboard_alone_pins(notebook, cells):
    page = notebook("keys", cells)
    lens = drawn(page)
    lens.get_by_role("grid").focus()
    for key in ("ArrowDown", "ArrowDown", "End", "Enter"):
        page.keyboard.press(key)
    lens.locator(".iw-way").wait_for(state="attached")
    assert "layer 2" in lens.locator(".iw-live").inner_text()
    for key in ("Home", "Shift+ArrowRight", "Shift+ArrowUp", "Enter"):
        page.keyboard.press(key)
    lens.get_by_text("whole run").wait_for()
    # Jupyter keeps back what a widget says while what it said before is on its way.
    zoom = {"layers": [0, 1], "positions": [1, 2]}
    wait_for(lambda: json.loads(run_cell(page, "import json; print(json.dumps(view.zoom))")) == zoom)


def test_hostile_text_is_shown_and_harmless(notebook, cells):
    page = notebook("hostile", cells)
    alerts = []
    page.on("dialog", lambda dialog: alerts.append(dialog.message))
    lens = drawn(page)
    for row in range(6):
        page.mouse.move(*cell_point(lens, row, 2))
    assert lens.locator("b, script").count() == 0 and alerts == []


def test_the_theme_is_followed_when_it_changes(notebook, cells, tmp_path):
    page = notebook("theme", cells)
    lens = drawn(page)
    light = _mean(lens, tmp_path / "light.png")
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
    wait_for(lambda: _mean(lens, tmp_path / "dark.png") < light - 60)


def _mean(lens, path):
    lens.screenshot(path=path)
    pixels = list(Image.open(path).convert("L").resize((32, 32)).getdata())
    return sum(pixels) / len(pixels)


def test_the_exported_page_opens_without_a_network_and_does_the_same(notebook, cells, lab, browser):
    page = notebook(
        "export",
        [*cells, "view.pins = [dict(site='resid_post', position=1, layer=2, token_id=5)]\nview.to_html('page.html')"],
    )
    drawn(page)
    path = lab[1] / "page.html"
    page.wait_for_function("document.querySelectorAll('.jp-Cell')[3]?.innerText.includes('page.html')")
    context = patient(browser.new_context(offline=True))
    asked = []
    offline = context.new_page()
    offline.on("request", lambda request: asked.append(request.url))
    errors = []
    offline.on("pageerror", lambda error: errors.append(str(error)))
    offline.goto(path.as_uri())
    lens = drawn(offline)
    assert lens.locator(".iw-chip").first.inner_text().endswith("×")
    offline.mouse.click(*cell_point(lens, 3, 1))
    offline.wait_for_function("document.querySelectorAll('.iw-way').length === 2")
    assert offline.locator("h1").inner_text() == TEXT
    assert offline.locator("h1 b, h1 script").count() == 0
    assert errors == [] and all(url.startswith(("file:", "blob:")) for url in asked)
    context.close()


def test_stop_cancels_the_job_and_says_so(notebook, cells):
    page = notebook("stop", [cells[0]])
    ended(page.locator(".jp-Cell").first)
    begin_cell(page, "%%lens --each-line -n 110 --temperature 1\n" + "word\n" * 60)
    page.wait_for_function("document.body.innerText.includes('running')")
    page.evaluate("void window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    page.wait_for_function("document.body.innerText.includes('KeyboardInterrupt')")
    assert "cancelled" in page.locator(".jp-Notebook").inner_text()


def test_the_map_fills_while_the_model_goes_on(notebook):
    """The demo model, which counts on for as long as it is asked to."""
    page = notebook("stream", ["%load_ext interp_magics", "%config InterpMagics.progress_after = 0.1", "%lens one two"])
    drawn(page)  # the pool is up, and the browser has the component
    page.evaluate(
        """() => {
            window.heights = [];
            setInterval(() => {
                const [, map] = document.querySelectorAll('.iw-lens .iw-scroll');
                if (map && document.body.innerText.includes('[*]')) window.heights.push(map.scrollHeight);
            }, 20);
        }"""
    )
    ended(begin_cell(page, "%lens -n 440 " + "one two three " * 8))
    drawn(page, 2)
    heights = page.evaluate("window.heights")
    assert len(set(heights)) >= 2 and heights == sorted(heights)
    assert page.locator(".iw-lens").count() == 2


def test_a_vector_is_fitted_tried_and_measured_in_cells(notebook, cells, tmp_path):
    """Hover, choose a layer and an item, read both back, set them, export: in light and in dark."""
    rows = [{"question": f"Is {word}", "positive": "good", "negative": "bad"} for word in ("Paris", "food", "it")]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    cell = "%%steer --at label mood\n+ The food is good\n- The food is bad\n+ Paris is good\n- Paris is bad"
    made = [
        cells[0],
        cell,
        "%steer -v mood --scale 9 -n 8 The food",
        f"%steer -q -v mood --slope {tmp_path / 'q.jsonl'} -o curve",
    ]
    page = notebook("steer", [*made, "view = curve.widget()\nview"], "JupyterLab Dark")
    page.wait_for_function("document.querySelectorAll('.iw-steer[data-drawn]').length === 1")
    steer = page.locator(".iw-steer")
    assert "steered by mood" in page.locator(".jp-Notebook").inner_text()
    assert steer.locator(".iw-target").count() == 3 and "3 items" in steer.locator(".iw-figures").inner_text()
    steer.locator(".iw-target").nth(1).click()
    page.wait_for_function("document.querySelector('.iw-figures').textContent.startsWith('layer 1')")
    steer.locator(".iw-pair").press("ArrowDown")
    steer.locator(".iw-prompt").wait_for()
    assert json.loads(run_cell(page, "print([view.layer, view.item])")) == [1, 0]
    run_cell(page, "view.layer = 2; view.item = 2; print('set')")
    page.wait_for_function("document.querySelector('.iw-answers').textContent.startsWith('item 2')")
    dark = steer.locator(".iw-curves text").first.evaluate("e => getComputedStyle(e).fill")
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
    page.wait_for_function(
        "dark => getComputedStyle(document.querySelector('.iw-curves text')).fill !== dark", arg=dark
    )
    with page.expect_download() as saved:
        steer.locator(".iw-exports button", has_text="PNG").click()
    saved.value.save_as(tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.width > 600
    with page.expect_download() as saved:
        steer.locator(".iw-exports button", has_text="CSV").click()
    saved.value.save_as(tmp_path / "curve.csv")
    assert len(pd.read_csv(tmp_path / "curve.csv")) == 3 * 3 * 3 * 7


def test_the_panel_goes_on_and_its_button_ends_a_job_that_a_cell_awaits(notebook, cells):
    setup = [
        cells[0],
        f"%lens -q {TEXT}",
        "pool = %pool\npool",
        "own = get_ipython().magics_manager.registry['InterpMagics'].session.pool\n"
        "jobs = [own.generate([[0, 1, 2]] * 8, 110, temperature=1.0, seed=i, wait=False) for i in range(40)]\nprint('awaits', jobs[-1].id)",
        "try:\n    await jobs[-1]\nexcept Exception as error:\n    print(type(error).__name__)",
    ]
    page = notebook("panel", setup)
    panel = page.locator(".iw-pool[data-drawn]").first
    panel.wait_for()
    assert "serving" in panel.inner_text()
    panel.locator(f"button[data-job='{page.locator('text=/^awaits /').inner_text().split()[1]}']").click()
    page.get_by_text("Cancelled", exact=True).wait_for()


def test_features_are_searched_opened_and_read_back(notebook, cells):
    """A row that is opened gets the strength of every token from the pool, and Python sets what is shown."""
    words = "['good', 'bad', 'food', 'Paris', 'is', 'the', 'and', 'not', 'very', '</script><b>sea</b>']"
    train = "%sae train -q -l 1 --latents 48 -k 4 --tokens 3000 --batch 300 --seed 1 -o sae texts"
    setup = [
        cells[0],
        f"import random\nrandom.seed(0)\ntexts = [' '.join(random.choices({words}, k=12)) for _ in range(120)]\n{train}",
        "sae = sae.label(3, 'a colour', 'confirmed')\n%features read -q -o table sae texts",
        "%features show -o seen --sae sae --prompt 'good Paris' table",
        "view = seen.widget()\nview",
    ]
    page = notebook("features", setup)
    page.wait_for_function("document.querySelectorAll('.iw-features[data-drawn]').length === 2")
    shown = page.locator(".iw-features").last
    first = shown.locator(".iw-rows-body .iw-row").first
    latent = int(first.locator(".iw-is-latent").inner_text())
    first.click()
    page.wait_for_function("document.querySelectorAll('.iw-examples .iw-tok[title]').length > 8")
    assert shown.locator(".iw-examples li").count() == 5 and page.locator(".iw-features b").count() == 0
    shown.locator(".iw-pager button").last.click()
    page.wait_for_function("document.querySelector('.iw-pager span').textContent.startsWith('2 of')")
    assert json.loads(run_cell(page, "print([view.opened, view.page])")) == [latent, 1]
    run_cell(page, "view.only = 'labelled'; view.opened = 3; print('set')")
    page.wait_for_function("document.querySelectorAll('.iw-label').length === 1")
    assert "a colour · confirmed" in shown.inner_text() and shown.locator(".iw-rows-body .iw-row").count() == 1
    run_cell(page, "view.only = 'all'; view.query = 'paris'; print('set')")
    page.wait_for_function("[...document.querySelectorAll('.iw-bar-top')].at(-1).innerText.includes(' of 48 latents')")


def drag(page, start, end):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=5)
    page.mouse.up()


def test_tokens_and_sites_are_asked_for_and_a_part_is_zoomed_to(notebook, cells, tmp_path):
    page = notebook("explore", cells)
    lens = drawn(page)
    lens.locator(".iw-search").press_sequentially("the")
    page.keyboard.press("Enter")
    lens.locator(".iw-said", has_text="tracking").wait_for()
    assert lens.locator(".iw-tracked").count() == 2
    lens.locator(".iw-sites button", has_text="attn_out").click()
    lens.locator(".iw-said", has_text="attn_out: read by feeding").wait_for()
    lens.locator(".iw-sites [aria-pressed=true]").nth(1).wait_for()
    lines = int(lens.get_by_role("grid").get_attribute("aria-rowcount"))
    drag(page, zoom_point(lens, 2, 1), zoom_point(lens, 5, 2))
    lens.locator(".iw-plain", has_text="whole run").wait_for()
    zoomed = json.loads(run_cell(page, "import json; print(json.dumps([view.zoom, view.shown, view.pins]))"))
    assert zoomed == [{"layers": [1, 2], "positions": [1, 2]}, ["resid_post", "attn_out"], []]
    assert lens.get_by_role("grid").get_attribute("aria-rowcount") == "4"
    with page.expect_download() as saved:
        lens.locator(".iw-exports button", has_text="SVG").click()
    saved.value.save_as(tmp_path / "lens.svg")
    picture = (tmp_path / "lens.svg").read_text()
    assert picture.count("<rect") == 8 and "<script" not in picture
    run_cell(page, "view.zoom = {}; view.mode = 'rank'; print('set')")
    page.wait_for_function(f"document.querySelector('[role=grid]').getAttribute('aria-rowcount') == '{lines}'")
    assert lens.locator(".iw-bands").count() == 1


def zoom_point(lens, line, column, columns=3):
    """Pixel of a cell where two sites stand side by side."""
    box = lens.locator("canvas").bounding_box()
    width = min(92, (box["width"] - 198) / columns)
    return box["x"] + 198 + (column + 0.5) * width, box["y"] + 20 + (line + 0.5) * 22


def test_a_job_that_a_cell_awaits_fills_its_view_and_ends_by_its_button(notebook, cells):
    setup = [
        cells[0],
        "%config InterpMagics.progress_after = 60",
        "job = %lens -a -n 100 --temperature 1 --seed 1 one two three\njob",
        "run = await job\nprint(len(run.positions))",
        "texts = ['one two three'] * 80\n"
        "own = get_ipython().magics_manager.registry['InterpMagics'].session.pool\n"
        "long = own.lens(texts, generate=110, temperature=1.0, seed=2, stream=True, wait=False)\nlong",
        "try:\n    await long\nexcept Exception as error:\n    print(type(error).__name__)",
    ]
    page = notebook("job", setup)
    button = page.locator(".iw-progress button").last
    button.wait_for()
    lens = page.locator(".iw-lens").nth(1)
    lens.locator("canvas").wait_for()
    # What Jupyter holds back while a cell awaits must not hold up the button.
    for row in range(3):
        page.mouse.move(*cell_point(lens, row, 1))
    lens.locator(".iw-progress button").hover()
    page.mouse.down()
    page.wait_for_timeout(400)  # a person's press outlasts what is told of the job meanwhile
    page.mouse.up()
    page.get_by_text("Cancelled", exact=True).wait_for()
    assert page.locator(".iw-lens").first.locator(".iw-progress button").count() == 0
