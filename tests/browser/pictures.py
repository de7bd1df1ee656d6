"""The site's pictures, of a real JupyterLab on the demo model: `python -m tests.browser.pictures` writes docs/images."""

import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, IDLE, TOKEN, patient, served, show_panel, write

IMAGES = Path(__file__).parents[2] / "docs/images"
CELLS = [
    "%load_ext interp_magics",
    "run = %lens -n 8 -s resid_post,attn_out,mlp_out -k 5 The capital of France is\n"
    "view = run.widget()\nview.shown = ['resid_post', 'mlp_out']\n"
    "token = int(run.top_ids[0, -1, 4, 0])\n"
    "view.pins = [{'site': 'resid_post', 'position': 4, 'layer': 7, 'token_id': token}]\nview",
    "why = %attribution -t ' Paris' --foil ' Rome' The capital of France is\n"
    "shown = why.widget()\nshown.chosen = {'layer': 5, 'head': 0}\nshown",
]
TALLEST = 720
PARTS = {"lens": ".iw-lens", "attribution": ".iw-attribution", "panel": ".iw-side-panel"}


def opened(page: Page, address: str, root: Path) -> None:
    """The notebook run, with the panel beside it."""
    write(root / "pictures.ipynb", CELLS)
    page.goto(f"{address}/lab/tree/pictures.ipynb?token={TOKEN}")
    page.wait_for_function(IDLE)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".iw-strip-tokens").wait_for()
    show_panel(page).locator(".iw-pool").wait_for()


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        served("jupyterlab", "LabApp", Path(directory)) as (address, root),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = patient(browser.new_page(viewport={"width": 1280, "height": 1500}))
        opened(page, address, root)
        for theme in ("Light", "Dark"):
            page.evaluate(
                "t => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})", f"JupyterLab {theme}"
            )
            page.wait_for_timeout(1500)
            for name, selector in PARTS.items():
                part = page.locator(selector).first
                part.scroll_into_view_if_needed()
                box = part.bounding_box()
                size = {"width": box["width"], "height": min(box["height"], TALLEST)}
                page.screenshot(
                    path=IMAGES / f"{name}-{theme.lower()}.png", clip={"x": box["x"], "y": box["y"], **size}
                )
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        browser.close()


if __name__ == "__main__":
    main()
