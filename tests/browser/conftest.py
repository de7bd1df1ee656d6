"""A real JupyterLab and a real Chromium."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import urlopen

import nbformat
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

import interp_magics.jupyter
from tests.pool.conftest import wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
TOKEN = "for-this-test-only"
#: The notebook that is shown has a kernel with nothing to do.
IDLE = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
Opened = TypeVar("Opened", Page, BrowserContext)
EXTENSIONS = Path(interp_magics.jupyter.__file__).parent / "labextensions"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium is installed; `apt-get install chromium`"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """(address, directory) of a running JupyterLab."""
    with served("jupyterlab", "LabApp", tmp_path_factory.mktemp("lab")) as address:
        yield address


@pytest.fixture(scope="session")
def notebook7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """(address, directory) of a running Notebook 7."""
    with served("notebook", "JupyterNotebookApp", tmp_path_factory.mktemp("notebook")) as address:
        yield address


@contextmanager
def served(module: str, application: str, root: Path, **more: str) -> Iterator[tuple[str, Path]]:
    """An application of Jupyter with directories of its own, and the extension as it was built last."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(root / "config"),
        "JUPYTER_DATA_DIR": str(root / "data"),
        "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
        "IPYTHONDIR": str(root / "ipython"),
        **more,
    }
    settings = root / "config/lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    options = ["--no-browser", "--allow-root", f"--port={port}", f"--ServerApp.root_dir={root}"]
    options += [f"--IdentityProvider.token={TOKEN}", f"--{application}.expose_app_in_browser=True"]
    options += [f"--{application}.extra_labextensions_path={EXTENSIONS}"]
    log = (root / "lab.log").open("wb")
    process = subprocess.Popen([sys.executable, "-m", module, *options], env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    _wait_for_server(address, process, root / "lab.log")
    yield address, root
    process.terminate()
    process.wait(120)
    log.close()


def _wait_for_server(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    def up() -> bool:
        assert process.poll() is None, log.read_text()
        with suppress(OSError):
            urlopen(f"{address}/api?token={TOKEN}", timeout=60).close()
            return True
        return False

    wait_for(up)


@pytest.fixture
def notebook(lab: tuple[str, Path], browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a notebook with these cells, in a theme, and run it."""
    address, root = lab
    pages = []

    def open_and_run(name: str, cells: list[str], theme: str = "JupyterLab Light") -> Page:
        write(root / f"{name}.ipynb", cells)
        page = patient(browser.new_page(viewport={"width": 1280, "height": 1400}))
        pages.append(page)
        page.goto(f"{address}/lab/workspaces/{name}/tree/{name}.ipynb?token={TOKEN}")
        page.wait_for_function(IDLE)
        page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        return page

    yield open_and_run
    for page in pages:
        page.evaluate("window.jupyterapp?.shell.currentWidget?.sessionContext?.shutdown()")
        page.close()


def write(path: Path, cells: list[str]) -> None:
    """A notebook that opens without asking for a kernel."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)


def patient(opened: Opened) -> Opened:
    """What waits in it waits for as long as a loaded machine may need: a deadline ends a hang, it measures nothing."""
    opened.set_default_timeout(120_000)
    return opened


def show_panel(page: Page) -> Any:
    """The panel of pools, opened."""
    page.evaluate("void window.jupyterapp.commands.execute('interp-magics:pool')")
    panel = page.locator(".iw-side")
    panel.wait_for()
    return panel


def drawn(page: Page, count: int = 1) -> Any:
    """Wait until so many lens widgets are drawn; the last of them."""
    page.wait_for_function(f"document.querySelectorAll('.iw-lens[data-drawn]').length >= {count}")
    return page.locator(".iw-lens").last
