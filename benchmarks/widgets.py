"""The lens explorer in Chromium with software rendering: first paint after the data, frames while it is scrolled, hovered and
brushed, and what it adds to a notebook."""

import base64
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from interp_widgets.lens import Lens, LensData
from playwright.sync_api import Page, sync_playwright

from .features import FLAGS
from .pairs import write

#: (positions, layers) of a run.
SMALL, LARGE = (128, 32), (1500, 80)
TOP, VOCABULARY, OPENED = 5, 128_000, 9


def data(positions: int, layers: int) -> LensData:
    """A run of that size; its tokens are as many as such a run has."""
    draw = np.random.default_rng(0)
    shape = (1, layers, positions)
    ids = draw.zipf(1.3, (*shape, TOP)).clip(1, 6000).astype(np.int32)
    logprobs = -np.sort(draw.exponential(2, (*shape, TOP)), -1).astype(np.float32)
    none = np.zeros((*shape, 0), np.float32)
    return LensData(
        title="a run",
        model="benchmark",
        sites=("resid_post",),
        layers=tuple(range(layers)),
        positions=np.arange(positions, dtype=np.int32),
        prompt_length=positions,
        vocabulary=VOCABULARY,
        token_ids=draw.integers(1, 6000, positions, dtype=np.int32),
        strings={number: f" word{number}" for number in range(6001)},
        top_ids=ids,
        top_logprobs=logprobs,
        entropy=draw.random(shape, np.float32) * 9,
        kl_final=draw.random(shape, np.float32) * 9,
        tracked_ids=np.zeros(0, np.int32),
        tracked_logprobs=none,
        tracked_ranks=none.astype(np.int32),
    )


def grown(widget: Lens) -> float:
    """Kilobytes that a saved notebook has more: state, module, style and the static table, buffers in base64."""
    state = {name: value for name, value in widget.get_state().items() if name != "payload"}
    static = widget._repr_html_() or ""
    return (len(json.dumps(state)) + len(base64.b64encode(widget.payload)) + len(static)) / 1e3


def opened(page: Page, written: Path) -> dict[str, Any]:
    """Milliseconds from the data to the painted view, several times; and between frames while it is used."""
    page.goto(written.as_uri())
    page.wait_for_selector(".iw-lens[data-drawn]")
    found: dict[str, Any] = page.evaluate(_SCRIPT, OPENED)
    return found


_SCRIPT = """async (times) => {
  const at = (values, share) => Number(values.sort((a, b) => a - b)[Math.floor(share * (values.length - 1))].toFixed(1));
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const view = document.getElementById('view');
  const module = (await import(URL.createObjectURL(new Blob(
    [Uint8Array.from(atob(JSON.parse(document.getElementById('state').textContent).module), (c) => c.charCodeAt(0))],
    { type: 'text/javascript' })))).default;
  const state = JSON.parse(document.getElementById('state').textContent);
  const bytes = Uint8Array.from(atob(state.buffers.payload), (c) => c.charCodeAt(0));
  const traits = { ...state.traits, payload: new DataView(bytes.buffer) };
  const spent = [];
  for (let i = 0; i < times; i++) {
    view.replaceChildren();
    const el = view.appendChild(document.createElement('div'));
    const model = { get: (name) => traits[name], set: (name, value) => { traits[name] = value; }, on() {}, off() {},
                    save_changes() {}, send() {} };
    await painted();
    const begun = performance.now();
    const gone = module.render({ model, el });
    await painted();
    spent.push(performance.now() - begun);
    if (i < times - 1) gone();
  }
  const map = view.querySelector('canvas'), scroll = view.querySelector('.iw-scroll'), box = map.getBoundingClientRect();
  const event = (type, x, y) => map.dispatchEvent(new PointerEvent(type, {
    clientX: box.left + 140 + x * (box.width - 150), clientY: box.top + 25 + y * (box.height - 30),
    bubbles: true, pointerId: 1, button: 0 }));
  // Work: from the event to the end of its frame's callbacks, style, layout and paint; the gap is between frames.
  const frames = async (count, act) => {
    const gaps = [], work = [];
    let last = await new Promise(requestAnimationFrame);
    for (let i = 0; i < count; i++) {
      const begun = performance.now();
      act(i / count);
      const acted = performance.now() - begun;
      const [now, entered] = await new Promise((done) => requestAnimationFrame((now) => done([now, performance.now()])));
      await new Promise((done) => { const { port1, port2 } = new MessageChannel(); port2.onmessage = done; port1.postMessage(0); });
      work.push(acted + performance.now() - Math.max(now, entered - 1));
      gaps.push(now - last);
      last = now;
    }
    return { work: at(work, 0.95), gap: at(gaps, 0.95) };
  };
  const pan = await frames(150, (t) => { scroll.scrollTop = t * (scroll.scrollHeight - scroll.clientHeight); });
  const hover = await frames(150, (t) => event('pointermove', t, (7 * t) % 1));
  map.setPointerCapture = () => {};
  event('pointerdown', 0.1, 0.1);
  const zoom = await frames(150, (t) => event('pointermove', 0.1 + 0.8 * t, 0.1 + 0.8 * t));
  return { 'first paint, ms': at(spent, 0.5), 'pan, p95 ms': pan, 'hover, p95 ms': hover, 'brush, p95 ms': zoom };
}"""


def main() -> None:
    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for positions, layers in (SMALL, LARGE):
            widget = Lens(data(positions, layers), force=True)
            page = browser.new_page(viewport={"width": 1240, "height": 900})
            found = opened(page, widget.to_html(Path(directory) / f"{positions}.html"))
            measured[f"{positions} x {layers}"] = {**found, "kB in a notebook": round(grown(widget))}
            page.close()
        browser.close()
    write("widgets", measured)


if __name__ == "__main__":
    main()
