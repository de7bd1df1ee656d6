"""A progress line that appears only when something takes long, and goes when it ends."""

import sys
from types import TracebackType
from typing import Any


class Progress:
    """`show` draws or updates the line: in a notebook below the cell, elsewhere on the terminal's last line."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._width = 0

    def __enter__(self) -> "Progress":
        return self

    def show(self, progress: Any) -> None:
        text = f"{progress} …"
        if _in_notebook():
            self._notebook(text, progress)
        else:
            sys.stderr.write(f"\r{text:<{self._width}}")
            sys.stderr.flush()
            self._width = len(text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)
        elif self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()

    def _notebook(self, text: str, progress: Any) -> None:
        from html import escape

        from IPython.display import display

        bar = f'<progress value="{progress.done}" max="{progress.total}"></progress> ' if progress.total else ""
        bundle = {"text/plain": text, "text/html": f"<div>{bar}{escape(text)}</div>"}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


def _in_notebook() -> bool:
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None
