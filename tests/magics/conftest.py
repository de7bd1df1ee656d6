"""A real IPython shell with the extension loaded, over a real pool."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests import checkpoints


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.make("qwen3", tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def shell(model: Path) -> Iterator[Any]:
    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "interp_magics")
    made.run_line_magic("config", f"InterpMagics.model = {str(model)!r}")
    yield made
    made.run_line_magic("unload_ext", "interp_magics")


@pytest.fixture
def cell(shell: Any) -> Callable[[str], Any]:
    """Run a cell; its result, or the error it raised."""

    def run(source: str) -> Any:
        outcome = shell.run_cell(source)
        error = outcome.error_before_exec or outcome.error_in_exec
        return error if error is not None else outcome.result

    return run
