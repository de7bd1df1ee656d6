"""A progress line that appears only when something takes long, and goes when it ends."""

import sys
from types import TracebackType
from typing import Any

from .data import view


class Progress:
    """`show` draws or updates the line: in a notebook below the cell, on the last line of a terminal, nowhere else."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown: Any = None
        self._widget: Any = None
        self._partial: Any = None
        self._width = 0

    def __enter__(self) -> "Progress":
        return self

    def show(self, progress: Any) -> None:
        text = f"{progress} …"
        if in_notebook():
            self._notebook(text, progress)
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r{text:<{self._width}}")
            sys.stderr.flush()
            self._width = len(text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in (self._handle, self._shown):
            if handle is not None:
                handle.update({"text/plain": "", "text/html": ""}, raw=True)
        if self._widget is not None:
            self._widget.close()
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()

    def _notebook(self, text: str, progress: Any) -> None:
        from html import escape

        bar = f'<progress value="{progress.done}" max="{progress.total}"></progress> ' if progress.total else ""
        self._handle = _drawn(self._handle, {"text/plain": text, "text/html": f"<div>{bar}{escape(text)}</div>"})
        if progress.partial is not None:
            self._preview(progress.partial)
            self._widget.progress = {"state": progress.state, "text": str(progress), "end": "stop"}

    def _preview(self, partial: Any) -> None:
        """What is there of the result, in a widget that grows until the result itself is shown."""
        if self._widget is None:
            self._widget = view.widget(partial)
            bundle = self._widget._repr_mimebundle_()
            self._shown = _drawn(self._shown, bundle[0] if isinstance(bundle, tuple) else bundle)
        elif partial is not self._partial:
            view.refresh(partial, self._widget)
        self._partial = partial


def _drawn(handle: Any, bundle: dict[str, Any]) -> Any:
    """A display with this content: `handle`'s, or a new one."""
    from IPython.display import display

    if handle is None:
        return display(bundle, raw=True, display_id=True)
    handle.update(bundle, raw=True)
    return handle


def in_notebook() -> bool:
    """Whether what is displayed is drawn by a front end."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None
