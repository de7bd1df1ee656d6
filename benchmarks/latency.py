"""What a person waits for: an empty job, `%load_ext`, a warm `%lens` from the cell to its drawn widget."""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from playwright.sync_api import sync_playwright

import interp_magics as im

from .pairs import write

_LOAD = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
started = time.perf_counter()
shell.run_line_magic("load_ext", "interp_magics")
print(1000 * (time.perf_counter() - started))
"""
TEXT = "The capital of France is Paris. The capital of Italy is Rome. Mary and John went to the store. John gave a drink to Mary"


def main() -> None:
    with im.connect() as pool:
        pool.card()
        empty = [_milliseconds(lambda: pool.tokenize("a")) for _ in range(300)]
        for _ in range(5):
            pool.lens(TEXT)
        lens = [_milliseconds(lambda: pool.lens(TEXT)) for _ in range(30)]
        tokens = len(pool.tokenize(TEXT))
        made = pool.lens(TEXT)
        busy = _while_generating(pool)
        bundle = [_milliseconds(made._repr_mimebundle_) for _ in range(20)]
    drawn = _cell_to_drawn()
    load = [
        float(subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, check=True).stdout) for _ in range(9)
    ]
    write(
        "latency",
        {
            "empty job, median ms (floor 3, aim 2)": statistics.median(empty),
            "%load_ext, median ms (floor 100, aim 50)": statistics.median(load),
            f"lens of {tokens} tokens, call to arrays, median ms": statistics.median(lens),
            "the same while 24 x 400 tokens are generated for others, median ms": busy,
            "result to widget messages, median ms": statistics.median(bundle),
            "%lens of 32 tokens, cell to drawn widget in JupyterLab, median ms (floor 150, aim 80)": drawn,
        },
    )


def _while_generating(pool) -> float:
    """Milliseconds of a lens that comes in the middle of a long batch."""
    job = pool.generate(["Once upon a time"] * 24, 400, temperature=1.0, wait=False)
    while not job.progress.done:
        time.sleep(0.01)
    spent = [_milliseconds(lambda: pool.lens(TEXT)) for _ in range(20)]
    job.cancel(5)
    return statistics.median(spent)


_PROMPT = " ".join(["The capital of France is Paris."] * 5)
_RUN = """
async ([source]) => {
    const app = window.jupyterapp;
    const notebook = app.shell.currentWidget.content;
    notebook.activeCellIndex = notebook.widgets.length - 1;
    await app.commands.execute('notebook:insert-cell-below');
    notebook.activeCell.model.sharedModel.setSource(source);
    const cell = notebook.activeCell.node;
    await new Promise((done) => setTimeout(done, 600));
    const started = performance.now();
    const drawn = new Promise((done) => {
        const look = () => cell.querySelector('.iw-lens[data-drawn]') ? done(performance.now()) : requestAnimationFrame(look);
        look();
    });
    void app.commands.execute('notebook:run-cell');
    return (await drawn) - started;
}
"""


def _cell_to_drawn(rounds: int = 15) -> float | None:
    """Milliseconds from running a cell to the painted map, in a real JupyterLab; None where there is no Chromium."""
    browser = shutil.which("chromium")
    if browser is None:
        return None
    with tempfile.TemporaryDirectory() as root, _lab(Path(root)) as address, sync_playwright() as playwright:
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
        ]
        page = playwright.chromium.launch(executable_path=browser, args=flags).new_page()
        page.goto(f"{address}/lab/tree/n.ipynb?token=t")
        idle = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
        page.wait_for_function(idle, timeout=60_000)
        page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_selector(".iw-lens[data-drawn]", timeout=60_000)
        spent = [page.evaluate(_RUN, [f"%lens {_PROMPT}"]) for _ in range(rounds)]
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    return statistics.median(spent)


@contextmanager
def _lab(root: Path) -> Iterator[str]:
    cells = [nbformat.v4.new_code_cell(source) for source in ("%load_ext interp_magics", "%lens The")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, root / "n.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {
        name: str(root / name)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    options = ["--no-browser", "--allow-root", f"--port={port}", f"--ServerApp.root_dir={root}"]
    options += ["--IdentityProvider.token=t", "--LabApp.expose_app_in_browser=True"]
    command = [sys.executable, "-m", "jupyterlab", *options]
    lab = subprocess.Popen(command, env={**os.environ, **places}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(6)
    yield f"http://127.0.0.1:{port}"
    lab.terminate()
    lab.wait(20)


def _milliseconds(run) -> float:
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
