"""How results look: functions that `display` fills in, so that this layer need not know a widget."""

from functools import singledispatch
from pathlib import Path
from typing import Any


@singledispatch
def widget(result: Any) -> Any:
    """An interactive view of a result."""
    raise TypeError(f"a {type(result).__name__} has no widget")


@singledispatch
def refresh(result: Any, shown: Any) -> None:
    """Let `shown`, a widget of an earlier state of a result, show this one."""
    raise TypeError(f"a {type(result).__name__} has no widget")


@singledispatch
def html(result: Any) -> str:
    """A static view of a result, without scripts."""
    raise TypeError(f"a {type(result).__name__} has no HTML view")


@singledispatch
def text(result: Any) -> str:
    """A view of a result for a terminal."""
    return repr(result)


@singledispatch
def export(result: Any, path: str | Path) -> Path:
    """One offline page with the interactive view."""
    raise TypeError(f"a {type(result).__name__} has no page")


@singledispatch
def mimebundle(result: Any) -> Any:
    """What a notebook shows of a result, by MIME type."""
    return {"text/plain": text(result)}


class Viewed:
    """Rich display of a result, by the functions above."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return mimebundle(self)

    def __str__(self) -> str:
        return text(self)

    def widget(self) -> Any:
        """The interactive view."""
        return widget(self)

    def to_html(self, path: str | Path) -> Path:
        """Write one offline HTML file with the interactive view; returns its path."""
        return export(self, path)
