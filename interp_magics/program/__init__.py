"""The language of programs: reads, writes and gradients as plain data, model cards, and what a card supports.

The names of `language` are here too: `interp_magics.program.Edit`.
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    language = import_module(".language", __name__)
    if name.startswith("_") or not hasattr(language, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(language, name)
