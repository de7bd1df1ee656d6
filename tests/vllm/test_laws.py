"""Law 4: vLLM gives what the reference engine gives, whatever it schedules, caches, cuts or spreads over ranks."""

import pytest

from interp_magics.program.operations import Copy
from tests.engine import ranked
from tests.engine.cases import check_same, joining, objects, programs
from tests.engine.running import run

FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2", "phi3", "gpt_neox"]
#: Tokens of one pass that are fewer than a prompt has.
CUT = {"max_num_batched_tokens": 5, "max_num_seqs": 4}
#: (family, ranks of a stage, stages, options)
WAYS = [
    *((name, 1, 1, {}) for name in FAMILIES),
    *((name, 1, 1, CUT) for name in ("qwen3", "gemma2")),
    *((name, 2, 1, {}) for name in ("llama", "qwen3", "gemma2")),
    *((name, 1, 2, {}) for name in ("qwen3", "gemma2")),
    ("llama", 2, 2, CUT),
]


@pytest.mark.parametrize(
    ("name", "tp", "pp", "options"), WAYS, ids=[f"{n}-tp{t}-pp{p}{'-cut' * bool(o)}" for n, t, p, o in WAYS]
)
def test_4_programs_give_what_the_reference_engine_gives(name, tp, pp, options, reference, root, tmp_path):
    served = reference(name)
    asked = [one for one in programs(served.card) if not _only_there(one, conditions=pp == 1)]
    vectors = objects(served.card)
    case = ranked.Case(root / name, asked, vectors, joining(), watched=1, engine="vllm", stages=pp, options=options)
    (found,) = ranked.run_on(tp * pp, tmp_path, [case])
    for one, other in zip((*asked, *joining()), found, strict=True):
        check_same(_try(served, one, vectors), other)


def _only_there(program, conditions):
    """Whether only the reference engine runs it."""
    stages = program.stages
    patterns = any(tap.site == "attn_pattern" for stage in stages for tap in stage.taps)
    copies = any(isinstance(edit.op, Copy) for stage in stages for edit in stage.edits)
    looks = any(edit.when is not None for stage in stages for edit in stage.edits)
    return patterns or copies or any(stage.gradients for stage in stages) or (looks and not conditions)


def _try(engine, one, vectors):
    try:
        return run(engine, one, objects=vectors)[0]
    except Exception as error:
        return error
