"""One offline page: the widget's own module and style, a small model in place of the kernel, the data in base64.

Nothing of the data is ever markup: it lies in a JSON block in which every "<" is escaped, and the module is decoded from
base64, so that no text in either can close a tag.
"""

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' blob:; \
style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
html[data-theme="light"] {{ color-scheme: light; }}
html[data-theme="dark"] {{ color-scheme: dark; }}
body {{ margin: 0; padding: 28px clamp(16px, 4vw, 56px); background: light-dark(#ffffff, #111418);
  color: light-dark(#1b1f24, #e8ebef); font: 14px/1.5 system-ui, sans-serif; }}
main {{ max-width: 1080px; margin: auto; }}
header {{ display: flex; gap: 16px; align-items: baseline; margin-bottom: 14px; }}
h1 {{ font-size: 17px; font-weight: 600; margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }}
header button {{ margin-left: auto; font: inherit; font-size: 12px; color: inherit; background: none; cursor: pointer;
  border: 1px solid light-dark(#d8dde3, #39414b); border-radius: 6px; padding: 2px 10px; }}
footer {{ margin-top: 18px; color: light-dark(#5c6670, #a0a9b4); font-size: 12px; }}
{css}
</style>
<main>
<header><h1>{title}</h1><button type="button" id="theme">light / dark</button></header>
<div id="view"></div>
<footer>{footer}</footer>
</main>
<script type="application/json" id="state">{state}</script>
<script type="module">
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const state = JSON.parse(document.getElementById("state").textContent);
for (const [name, text] of Object.entries(state.buffers)) state.traits[name] = new DataView(bytes(text).buffer);
const handlers = new Map();
const model = {{
  get: (name) => state.traits[name],
  set: (name, value) => {{
    state.traits[name] = value;
    for (const handle of handlers.get(`change:${{name}}`) ?? []) handle();
  }},
  on: (event, handle) => handlers.set(event, [...(handlers.get(event) ?? []), handle]),
  off: (event, handle) => handlers.set(event, (handlers.get(event) ?? []).filter((h) => h !== handle)),
  save_changes: () => {{}},
  send: () => {{}},
}};
const root = document.documentElement;
document.getElementById("theme").addEventListener("click", () => {{
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}});
const url = URL.createObjectURL(new Blob([bytes(state.module)], {{ type: "text/javascript" }}));
const widget = (await import(url)).default;
widget.render({{ model, el: document.getElementById("view") }});
</script>
</html>
"""


def page(module: Path, style: Path, traits: Mapping[str, Any], title: str, footer: str) -> str:
    """The page as text. `traits` may hold bytes, which become buffers."""
    buffers = {name: _base64(value) for name, value in traits.items() if isinstance(value, bytes)}
    plain = {name: value for name, value in traits.items() if not isinstance(value, bytes)}
    state = {"traits": plain, "buffers": buffers, "module": _base64(module.read_bytes())}
    return _TEMPLATE.format(
        title=html.escape(title),
        footer=html.escape(footer),
        css=style.read_text(encoding="utf-8"),
        state=json.dumps(state).replace("<", "\\u003c"),
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
