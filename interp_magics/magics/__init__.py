"""The magics: each parses, makes the call of the same name, and returns its object."""

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext interp_magics` does. Nothing is connected and no model is loaded yet."""
    from .extension import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """What `%unload_ext interp_magics` does: everything is taken back, and an embedded pool ends."""
    from .extension import unload

    unload(shell)
