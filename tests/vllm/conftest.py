"""Checkpoints with sizes that vLLM's kernels have, and the reference engine over them."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from interp_magics.engine.transformers_engine.engine import TransformersEngine
from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import ModelSpec
from tests import checkpoints

#: It has an environment of its own: `make test-vllm`.
collect_ignore_glob = [] if find_spec("vllm") else ["test_*.py"]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="session")
def reference(root: Path) -> Callable[[str], TransformersEngine]:
    """The reference engine over a checkpoint, which lies in `root` under the same name."""
    made: dict[str, TransformersEngine] = {}

    def get(name: str) -> TransformersEngine:
        if name not in made:
            path = checkpoints.make(name, root, sizes=checkpoints.WIDE)
            made[name] = load(ModelSpec(name, str(path), device="cpu"))
        return made[name]

    return get
