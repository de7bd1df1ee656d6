"""The site builds, with its links and live exports, and what its pages tell to type is what the magics take."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
_LINE = re.compile(r"^%%?(lens|capture_layers|attribution|steer|sae|features)\b(.*)$", re.M)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
_COMMANDS = ("sae", "features")


def test_the_site_builds_without_a_broken_link_and_has_its_exports(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, env=quiet)
    assert built.returncode == 0, built.stderr[-3000:]
    for name in ("lens", "difference", "attribution"):
        page = (tmp_path / "site/exports" / f"{name}.html").read_text(encoding="utf-8")
        assert "Content-Security-Policy" in page
    assert "top tokens of each cell" in (tmp_path / "site/magics/lens/index.html").read_text(encoding="utf-8")
    addresses = re.findall(
        r'(?:src|href)="(https?://[^"]+)"', (tmp_path / "site/index.html").read_text(encoding="utf-8")
    )
    assert not [one for one in addresses if one.endswith((".js", ".css", ".woff2"))], (
        "pages load nothing from a network"
    )


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=lambda path: path.stem)
def test_lines_that_readers_type_are_lines_that_magics_take(path):
    for kind, block in _BLOCK.findall(path.read_text(encoding="utf-8")):
        if kind == "python":
            compile(block, str(path), "exec", flags=0x2000)  # top-level await
        for magic, line in _LINE.findall(block):
            name = {"capture_layers": "capture"}.get(magic, magic)
            module = import_module(f"interp_magics.magics.{name}")
            if magic in _COMMANDS:
                command, _, line = line.strip().partition(" ")
                assert command in module.COMMANDS, command
            module.parser().split(line)
