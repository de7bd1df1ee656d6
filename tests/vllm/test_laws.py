"""Law 4: vLLM gives what the reference engine gives, whatever it schedules, caches, cuts or spreads over ranks."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pytest

from interp_magics.launch.config import ModelImpl
from interp_magics.program.language import replace
from tests.engine import ranked
from tests.engine.cases import check_same, joining, objects, programs
from tests.engine.running import run
from tests.vllm.interpreted import Runner

FAMILIES = [
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3_text",
    "olmo2",
    "phi3",
    "gpt_neox",
    "qwen3_moe",
    "mixtral",
]
#: Tokens of one pass that are fewer than a prompt has.
CUT = {"max_num_batched_tokens": 5, "max_num_seqs": 4}
STREAM = ("embed", "attn_out", "mlp_out", "resid_post", "ln_final", "logits")


class Way(NamedTuple):
    """A family, ranks of a stage, stages, vLLM's options, whether steps are compiled, whose modules run, and vLLM's runner."""

    name: str
    tp: int = 1
    pp: int = 1
    options: Mapping[str, int] = MappingProxyType({})
    compiled: bool = False
    model_impl: ModelImpl = "auto"
    runner: Runner = "first"

    def __str__(self) -> str:
        words = (self.name, f"tp{self.tp}", f"pp{self.pp}", "cut" * bool(self.options), "compiled" * self.compiled)
        words = (*words, self.model_impl.replace("auto", ""), self.runner.replace("first", ""))
        return "-".join(word for word in words if word)


WAYS = [
    *(Way(name) for name in FAMILIES),
    *(Way(name, options=CUT) for name in ("qwen3", "gemma2")),
    *(Way(name, tp=2) for name in ("llama", "qwen3", "gemma2", "mixtral")),
    *(Way(name, pp=2) for name in ("qwen3", "gemma2")),
    Way("llama", tp=2, pp=2, options=CUT),
    Way("qwen3", options=CUT, compiled=True),
    Way("llama", tp=2, compiled=True),
    *(Way(name, model_impl="transformers") for name in ("qwen3", "gemma2")),
    Way("llama", tp=2, pp=2, options=CUT, model_impl="transformers"),
    Way("qwen3", options=CUT, compiled=True, model_impl="transformers"),
    Way("qwen3", runner="second"),
    *(Way(name, options=CUT, runner="ahead") for name in ("llama", "gemma2")),
    Way("llama", tp=2, options=CUT, runner="ahead"),
    Way("qwen3", options=CUT, compiled=True, runner="ahead"),
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_4_programs_give_what_the_reference_engine_gives(way, reference, root, tmp_path):
    name, tp, pp, options, compiled, model_impl, runner = way
    served = reference(name)
    sites = {site: info for site, info in served.card.sites.items() if site in STREAM or not compiled}
    card = replace(served.card, sites=sites)
    asked = [one for one in programs(card) if not _only_there(one)]
    vectors = objects(card)
    case = ranked.Case(
        root / name,
        asked,
        vectors,
        joining(),
        1,
        engine="vllm",
        stages=pp,
        compiled=compiled,
        model_impl=model_impl,
        options=dict(options),
        runner=runner,
    )
    (found,) = ranked.run_on(tp * pp, tmp_path, [case])
    for one, other in zip((*asked, *joining()), found, strict=True):
        check_same(_try(served, one, vectors), other)


def _only_there(program):
    """Whether only the reference engine runs it."""
    stages = program.stages
    patterns = any(tap.site == "attn_pattern" for stage in stages for tap in stage.taps)
    return patterns or any(stage.gradients for stage in stages)


def _try(engine, one, vectors):
    try:
        return run(engine, one, objects=vectors)[0]
    except Exception as error:
        return error
