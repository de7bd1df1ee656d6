"""Law 4: vLLM gives what the reference engine gives, whatever it schedules, caches, cuts or spreads over ranks."""

import pytest

from interp_magics.program.language import replace
from interp_magics.program.operations import Copy
from tests.engine import ranked
from tests.engine.cases import check_same, joining, objects, programs
from tests.engine.running import run

FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2", "phi3", "gpt_neox"]
#: Tokens of one pass that are fewer than a prompt has.
CUT = {"max_num_batched_tokens": 5, "max_num_seqs": 4}
STREAM = ("embed", "attn_out", "mlp_out", "resid_post", "ln_final", "logits")
#: (family, ranks of a stage, stages, options, whether steps are compiled)
WAYS = [
    *((name, 1, 1, {}, False) for name in FAMILIES),
    *((name, 1, 1, CUT, False) for name in ("qwen3", "gemma2")),
    *((name, 2, 1, {}, False) for name in ("llama", "qwen3", "gemma2")),
    *((name, 1, 2, {}, False) for name in ("qwen3", "gemma2")),
    ("llama", 2, 2, CUT, False),
    ("qwen3", 1, 1, CUT, True),
    ("llama", 2, 1, {}, True),
]


def _named(way):
    name, tp, pp, options, compiled = way
    return f"{name}-tp{tp}-pp{pp}{'-cut' * bool(options)}{'-compiled' * compiled}"


@pytest.mark.parametrize(("name", "tp", "pp", "options", "compiled"), WAYS, ids=[_named(way) for way in WAYS])
def test_4_programs_give_what_the_reference_engine_gives(name, tp, pp, options, compiled, reference, root, tmp_path):
    served = reference(name)
    sites = {site: info for site, info in served.card.sites.items() if site in STREAM or not compiled}
    card = replace(served.card, sites=sites)
    asked = [one for one in programs(card) if not _only_there(one, conditions=pp == 1)]
    vectors = objects(card)
    case = ranked.Case(
        root / name, asked, vectors, joining(), 1, engine="vllm", stages=pp, compiled=compiled, options=options
    )
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
