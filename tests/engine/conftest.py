"""Engines over the checkpoints that the tests make, each loaded once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from interp_magics.engine.transformers_engine.engine import TransformersEngine
from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import ModelSpec
from tests import checkpoints


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="session")
def engine(root: Path) -> Callable[[str], TransformersEngine]:
    made: dict[str, TransformersEngine] = {}

    def get(name: str) -> TransformersEngine:
        if name not in made:
            made[name] = load(ModelSpec(name, str(checkpoints.make(name, root)), device="cpu"))
        return made[name]

    return get
