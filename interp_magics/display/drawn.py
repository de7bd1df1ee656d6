"""How a result that has a widget is shown everywhere."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ..data import view


def drawn(
    kind: type,
    module: str,
    name: str,
    data: Callable[[Any], Any],
    text: Callable[[Any], str],
    made: Callable[[Any], Any] | None = None,
) -> None:
    """Results of `kind` are shown by the widget `name` of `interp_widgets.<module>`, which draws what `data` makes of them:
    live in a notebook (as `made` makes it, if given), as the module's `table` where there are no scripts, as one page, and as
    `text` in a terminal."""

    def widgets() -> Any:
        return import_module(f"interp_widgets.{module}")

    def widget(result: Any) -> Any:
        return getattr(widgets(), name)(data(result)) if made is None else made(result)

    def html(result: Any) -> str:
        made: str = widgets().table(data(result))
        return made

    def export(result: Any, path: str | Path) -> Path:
        written: Path = getattr(widgets(), name)(data(result), force=True).to_html(path)
        return written

    view.widget.register(kind, widget)
    view.html.register(kind, html)
    view.export.register(kind, export)
    view.mimebundle.register(kind, lambda result: with_static(widget(result), html(result), text(result)))


def with_static(widget: Any, html: str, text: str) -> Any:
    """A widget's bundle, with a static view for readers without scripts and text for a terminal."""
    bundle = widget._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    return {**data, "text/html": html, "text/plain": text}, metadata
