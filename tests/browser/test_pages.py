"""Offline pages in Chromium: they need no network, and work by mouse and keys."""

import interp_magics as im
from tests.browser.conftest import patient
from tests.unit.test_comparison import LINE, PROMPT, comparison
from tests.unit.test_feature_browser import browsed


def test_a_comparison_is_read_offline(browser, tmp_path):
    page = patient(browser.new_page(viewport={"width": 700, "height": 900}, color_scheme="dark"))
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    saved = comparison(vector=LINE, prompt=PROMPT).save(tmp_path / "comparison.safetensors")
    page.goto(im.load(saved).to_html(tmp_path / "comparison.html").as_uri())
    page.wait_for_selector(".iw-compare[data-drawn]")
    assert page.locator(".iw-frontier").count() == 2 and page.locator(".iw-frontier rect").count() == 4
    first, second = (page.locator(".iw-frontier").nth(i).bounding_box() for i in (0, 1))
    assert first["x"] + first["width"] <= 700 and second["x"] >= 0
    page.locator(".iw-reached button").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator(".iw-reached button[aria-pressed=true]").inner_text() == "prompt"
    assert page.locator(".iw-way").first.get_attribute("opacity") == "0.18"
    with page.expect_download() as download:
        page.locator(".iw-exports button", has_text="SVG").click()
    assert download.value.path().read_text().count("<svg") == 3
    assert not said and all(url.startswith(("file:", "blob:")) for url in asked)
    page.close()


def test_features_are_looked_through_offline(browser, tmp_path):
    page = patient(browser.new_page(viewport={"width": 900, "height": 1000}, color_scheme="dark"))
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(browsed(opened=2).to_html(tmp_path / "features.html").as_uri())
    page.wait_for_selector(".iw-features[data-drawn]")
    assert page.locator(".iw-rows-body .iw-row").count() == 4
    assert page.locator(".iw-examples li").count() == 2 and page.locator(".iw-dose circle").count() == 4
    page.locator("[data-column=max]").click()
    page.locator(".iw-rows").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert "never active" in page.locator(".iw-detail").inner_text()
    page.keyboard.press("Escape")
    assert page.locator(".iw-detail").count() == 0
    page.fill("input[type=search]", "harbor")
    page.locator(".iw-bar-top", has_text="2 of 4 latents").wait_for()
    with page.expect_download() as download:
        page.locator(".iw-exports button", has_text="CSV").click()
    assert len(download.value.path().read_text().splitlines()) == 3
    assert not said and all(url.startswith(("file:", "blob:")) for url in asked)
    page.close()
