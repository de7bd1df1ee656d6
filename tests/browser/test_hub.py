"""Two users of one JupyterHub in their browsers, and a user whose token is taken back."""

import re

import pytest

from tests import checkpoints
from tests.browser.conftest import IDLE, TOKEN, drawn, patient, served, show_panel, write
from tests.browser.test_lab import run_cell
from tests.hub.hub import Hub, pool_file
from tests.pool.served import serving

pytestmark = pytest.mark.timeout(300)
LONG = "pool.lens(['one two three'] * 600, generate=110, temperature=1.0, seed=1, wait=False)"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hub")
    made = Hub(directory, pool_file(directory, checkpoints.make("qwen3", directory)))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def at_home(hub, browser):
    """Log a user in by the hub's own form and open a notebook of theirs."""
    contexts = []

    def opened(user):
        write(hub.directory / "home" / user / "work.ipynb", ["%load_ext interp_magics"])
        contexts.append(patient(browser.new_context(viewport={"width": 1280, "height": 1000})))
        page = contexts[-1].new_page()
        page.goto(f"http://127.0.0.1:{hub.ports}/hub/login?next=/hub/spawn")
        page.fill("#username_input", user)
        page.fill("#password_input", "any")
        page.click("#login_submit")
        page.wait_for_url(f"**/user/{user}/**")
        page.goto(f"http://127.0.0.1:{hub.ports}/user/{user}/lab/tree/work.ipynb")
        page.wait_for_function(IDLE)
        page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        return page

    yield opened
    for context in contexts:
        context.close()


def test_two_users_see_one_pool_and_each_their_own_jobs(at_home):
    ada, grace = at_home("ada"), at_home("grace")
    panels = [show_panel(page) for page in (ada, grace)]
    for panel in panels:
        panel.get_by_text("serving").wait_for()
    titles = [panel.locator(".iw-title").first.inner_text() for panel in panels]
    assert titles[0] == titles[1]
    job = run_cell(ada, f"import interp_magics as im\npool = im.connect()\njob = {LONG}\nprint(job.id)")
    mine = panels[0].locator(f"button[data-job='{job}']")
    mine.wait_for()
    panels[1].get_by_text(re.compile(r"\b[1-9]\d* running")).wait_for()
    assert job not in panels[1].inner_html() and "ada" not in panels[1].inner_text()
    mine.click()
    panels[1].get_by_text("0 running").wait_for()


def test_a_user_without_a_token_of_anyone_lenses_in_the_hub(at_home):
    page = at_home("grace")
    run_cell(page, "run = %lens the capital of France\nrun")
    drawn(page)
    assert run_cell(page, "print(run.to_pandas().shape[0] > 0)") == "True"


@pytest.fixture
def revocable(tmp_path, browser):
    """A served pool, and a page of a Lab whose user has a token for it that may be taken back."""
    model = checkpoints.make("qwen3", tmp_path)
    with serving(tmp_path / "pool", "--model", f"tiny={model}", "--port", "0") as pool:
        own = served("jupyterlab", "LabApp", tmp_path / "lab", INTERP_POOL_URL=pool.token("ada"))
        with own as (address, root):
            write(root / "work.ipynb", ["%load_ext interp_magics"])
            page = patient(browser.new_page(viewport={"width": 1280, "height": 1000}))
            page.goto(f"{address}/lab/tree/work.ipynb?token={TOKEN}")
            page.wait_for_function(IDLE)
            page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
            yield pool, page
            page.close()


def test_a_token_that_is_taken_back_is_said_in_the_panel_and_in_the_next_cell(revocable):
    pool, page = revocable
    panel = show_panel(page)
    panel.get_by_text("serving").wait_for()
    run_cell(page, "run = %lens one two\nprint('seen')")
    assert pool.interp("token", "--directory", str(pool.directory), "revoke", "ada").returncode == 0
    panel.get_by_text("cannot be reached").wait_for()
    assert "ask its administrator for a new token" in panel.inner_text()
    assert "your admission to this pool is over" in run_cell(page, "%lens one two")
