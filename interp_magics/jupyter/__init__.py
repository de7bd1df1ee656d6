"""The Jupyter server's side: what the panel of JupyterLab and Notebook 7 is told of pools.

The server holds the credentials, as a kernel does; the browser never sees them.
"""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "interp_magics.jupyter"}]


def _load_jupyter_server_extension(server: Any) -> None:
    from .handlers import install

    install(server.web_app)
