"""Widgets that ask Python for something: an end, a pattern, another site."""

from contextlib import suppress
from typing import Any, ClassVar

import anywidget
import traitlets


class Prompt(anywidget.AnyWidget):
    """The traits in `at_once` also come as messages of their own: while a cell awaits, Jupyter holds back a trait's change until
    the one before it was answered, which is when the cell has ended."""

    at_once: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(_taken)


def _taken(widget: Prompt, content: Any, buffers: Any) -> None:
    """A message that is none of ours, or a value that the trait refuses, changes nothing."""
    told = content.get("set") if isinstance(content, dict) else None
    for name, value in told.items() if isinstance(told, dict) else ():
        if name in widget.at_once:
            with suppress(traitlets.TraitError):
                setattr(widget, name, value)


class Asked(Prompt):
    """A widget whose reader can ask for more. `live` says that somebody answers. A view that was saved calls (`hail`) to learn
    whether that is still so, and is called back (`heard`)."""

    at_once: ClassVar[tuple[str, ...]] = ("hail",)

    live = traitlets.Bool(False).tag(sync=True)
    hail = traitlets.Int(0).tag(sync=True)
    heard = traitlets.Int(0).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.observe(self._hailed, "hail")

    def _hailed(self, change: Any) -> None:
        self.heard = change["new"]


#: What a page without a kernel has in their place.
RESTING = {"live": False, "hail": 0, "heard": 0}
