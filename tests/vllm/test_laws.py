"""Law 4: vLLM gives what the reference engine gives, whatever it schedules, caches, cuts or spreads over ranks."""

from pathlib import Path

import pytest

from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import ModelSpec
from interp_magics.program.operations import Copy
from tests import checkpoints
from tests.engine import ranked
from tests.engine.cases import check_same, joining, objects, programs
from tests.engine.running import run

FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2", "phi3", "gpt_neox"]
#: Tokens of one pass that are fewer than a prompt has.
CUT = {"max_num_batched_tokens": 5, "max_num_seqs": 4}
WAYS = [
    *((name, 1, {}) for name in FAMILIES),
    *((name, 1, CUT) for name in ("qwen3", "gemma2")),
    *((name, 2, {}) for name in ("llama", "qwen3", "gemma2")),
]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.mark.parametrize(("name", "ranks", "options"), WAYS, ids=[f"{n}-{r}{'-cut' * bool(o)}" for n, r, o in WAYS])
def test_4_programs_give_what_the_reference_engine_gives(name, ranks, options, root, tmp_path):
    path = checkpoints.make(name, root, sizes=checkpoints.WIDE)
    reference = load(ModelSpec(name, str(path), device="cpu"))
    asked = [one for one in programs(reference.card) if not _only_there(one)]
    vectors = objects(reference.card)
    case = ranked.Case(path, asked, vectors, joining(), watched=1, engine="vllm", options=options)
    (found,) = ranked.run_on(ranks, tmp_path, [case])
    for number, (one, other) in enumerate(zip((*asked, *joining()), found, strict=True)):
        print(number)
        check_same(_try(reference, one, vectors), other)


def _only_there(program):
    """Whether only the reference engine runs it."""
    stages = program.stages
    patterns = any(tap.site == "attn_pattern" for stage in stages for tap in stage.taps)
    copies = any(isinstance(edit.op, Copy) for stage in stages for edit in stage.edits)
    return patterns or copies or any(stage.gradients for stage in stages)


def _try(engine, one, vectors):
    try:
        return run(engine, one, objects=vectors)[0]
    except Exception as error:
        return error
