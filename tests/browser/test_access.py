"""Every page, in light and dark: nothing that axe finds serious; and text that would do harm is shown and does none."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from interp_widgets.attribution import Attribution, AttributionData
from interp_widgets.lens import Lens, LensBase, LensData

from tests.browser.conftest import patient
from tests.unit.test_comparison import LINE, PROMPT, comparison
from tests.unit.test_feature_browser import browsed

import_module("interp_magics.display")
AXE = Path(__file__).parents[2] / "js/node_modules/axe-core/axe.min.js"
HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "<b onmouseover=alert(1)>x</b>",
    "{{7*7}}${alert(1)}",
    "\u202egnp.exe\u202c",
    "a\u200bb\ufeffc",
    "x" * 10_000,
    "\u0300" * 200,
    "\ud800\udc00 é 漢 😀 👩\u200d👩\u200d👧",
    "\"quoted\" & 'single' `tick`",
    *(f"<0x{byte:02X}>" for byte in range(256)),
    *(bytes([byte]).decode("utf-8", "replace") for byte in range(256)),
]


def lens_data(strings=None, base=False):
    """A small run whose tokens read as `strings`."""
    draw = np.random.default_rng(0)
    words = strings or [f" word{i}" for i in range(60)]
    rows = max(12, len(words) // 4)
    shape = (2, 4, rows)
    ids = draw.integers(0, len(words), (*shape, 3)).astype(np.int32)
    logprobs = -np.sort(draw.exponential(2, (*shape, 3)), -1).astype(np.float32)
    beside = LensBase(
        "another", draw.normal(size=shape).astype(np.float32), np.ones(shape, np.uint8), ids[..., 0], logprobs[..., 0]
    )
    return LensData(
        words[0], words[-1], ("resid_post", "mlp_out"), (0, 1, 2, 3), np.arange(rows, dtype=np.int32), rows - 2, 100,
        np.arange(rows, dtype=np.int32) % len(words), dict(enumerate(words)), ids, logprobs,
        draw.random(shape, np.float32), draw.random(shape, np.float32), np.array([1], np.int32),
        logprobs[..., :1], ids[..., :1], beside if base else None,
    )  # fmt: skip


def attribution_data(words):
    draw = np.random.default_rng(0)
    attn, mlp, heads = (draw.normal(size=shape).astype(np.float32) for shape in ((6,), (6,), (6, 4)))
    return AttributionData(words[0], words[1], words[2], tuple(words[:12]), 0.1, attn, mlp, heads, 0.0, 1.0)


def pages():
    lens = Lens(lens_data(base=True), shown=["resid_post", "mlp_out"], mode="difference")
    lens.pins = [{"site": "resid_post", "position": 1, "layer": 2, "token_id": 5}]
    attribution = Attribution(attribution_data([f" word{i}" for i in range(20)]))
    attribution.show(1, 2, np.tril(np.full((12, 12), 1 / 12)))
    attribution.chosen = {"layer": 1, "head": 2}
    return {
        "lens": lens,
        "attribution": attribution,
        "features": browsed(opened=2),
        "compare": comparison(vector=LINE, prompt=PROMPT),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["lens", "attribution", "features", "compare"])
def test_axe_finds_nothing_serious(name, scheme, browser, tmp_path):
    page = patient(browser.new_page(viewport={"width": 1100, "height": 1000}, color_scheme=scheme))
    page.goto(pages()[name].to_html(tmp_path / "page.html").as_uri())
    page.wait_for_selector(f".iw-{name}[data-drawn]")
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run('#view', { resultTypes: ['violations'] })")["violations"]
    serious = [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    page.close()


def shown_harmlessly(page, written, selector):
    dialogs, errors, asked = [], [], []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(written.as_uri())
    page.wait_for_selector(selector)
    return lambda: (dialogs, errors, [url for url in asked if not url.startswith(("file:", "blob:"))])


def test_hostile_tokens_are_shown_and_harmless_in_the_lens_its_export_and_its_fallback(browser, tmp_path):
    lens = Lens(lens_data(HOSTILE), shown=["resid_post", "mlp_out"])
    page = patient(browser.new_page(viewport={"width": 1100, "height": 900}))
    harm = shown_harmlessly(page, lens.to_html(tmp_path / "lens.html"), ".iw-lens[data-drawn]")
    grid = page.get_by_role("grid")
    grid.focus()
    for key in ["ArrowDown", "ArrowRight", "Enter"] * 40:
        page.keyboard.press(key)
    with page.expect_download() as saved:
        page.locator(".iw-exports button", has_text="SVG").click()
    drawing = saved.value.path().read_text()
    assert harm() == ([], [], []) and "<script" not in drawing and "\u202e" not in drawing
    assert page.locator("#view b, #view img, #view script").count() == 0
    fallback = tmp_path / "fallback.html"
    fallback.write_text(f"<meta charset=utf-8><div id=view>{lens._repr_html_()}</div>", encoding="utf-8")
    harm = shown_harmlessly(page, fallback, "#view table")
    assert page.locator("#view b, #view img, #view script").count() == 0
    assert harm() == ([], [], []) and "\u202e" not in page.locator("#view").inner_text()
    page.close()


def test_hostile_tokens_are_harmless_in_an_attribution(browser, tmp_path):
    shown = Attribution(attribution_data(HOSTILE))
    shown.show(1, 2, np.tril(np.full((12, 12), 1 / 12)))
    shown.chosen = {"layer": 1, "head": 2}
    page = patient(browser.new_page(viewport={"width": 1100, "height": 900}))
    harm = shown_harmlessly(page, shown.to_html(tmp_path / "page.html"), ".iw-strip-tokens")
    assert harm() == ([], [], []) and page.locator("#view b, #view img, #view script").count() == 0
    assert "⟨202E⟩" in page.locator("#view").inner_text()
    page.close()
