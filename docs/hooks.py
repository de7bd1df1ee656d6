"""What the site has of the software itself: the options of each magic, and live exports made on the demo model."""

import re
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_HELP = re.compile(r"^\{\{ options of (\w+) \}\}$", re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put a magic's options where a page asks for them."""
    return _HELP.sub(lambda found: f"```text\n{_options(found[1])}\n```", markdown)


def _options(magic: str) -> str:
    help_text: str = import_module(f"interp_magics.magics.{magic}").parser().format_help()
    return help_text.strip()


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the exports of the gallery."""
    for name, content in _exports().items():
        files.append(File.generated(config, f"exports/{name}.html", content=content))
    return files


def _exports() -> dict[str, str]:
    import interp_magics as im

    import_module("interp_magics.display")
    with im.connect() as pool, tempfile.TemporaryDirectory() as directory:
        text = "The capital of France is"
        run = pool.lens(text, sites=["resid_post", "attn_out", "mlp_out"], generate=8, track=" Paris")
        plain, other = (pool.lens(f"The food in the house was {word}", top_k=20) for word in ("good", "bad"))
        shown = {"lens": run, "difference": other.minus(plain), "attribution": pool.attribution(text)}
        return {name: _page(one, Path(directory) / f"{name}.html") for name, one in shown.items()}


def _page(shown: Any, path: Path) -> str:
    return str(shown.to_html(path).read_text(encoding="utf-8"))
