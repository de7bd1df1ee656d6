"""A static table, for readers without scripts: every text escaped, no script, no style sheet."""

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = "padding:1px 10px;font:12px sans-serif;text-align:right;font-variant-numeric:tabular-nums"


def static_table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Texts in columns under their heads."""
    above = f'<caption style="font:12px sans-serif;text-align:left">{escape(caption)}</caption>'
    lines = [_row("th", heads), *(_row("td", row) for row in rows)]
    return f"<table>{above}{''.join(lines)}</table>"


def _row(tag: str, texts: Sequence[str]) -> str:
    cells = (f'<{tag} style="{_STYLE}">{escape(text)}</{tag}>' for text in texts)
    return f"<tr>{''.join(cells)}</tr>"
