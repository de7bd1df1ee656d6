"""Compiled steps with programs beside compiled steps of bare vLLM: `python -m benchmarks.vllm_compiled`.

Each is a long-lived process, one thread, driven in turn: bare has none of our operations in its graph. The same sixteen prompts as in
`benchmarks.vllm`.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interp_magics.launch.config import ModelSpec

from .checkpoint import save_reference
from .pairs import ratio, write
from .turns import in_turn, serve
from .vllm import BATCH, asked_of, ours, rows_of

ROUNDS = 15
OPTIONS = {"enable_prefix_caching": False, "max_model_len": 1024}
SLOTS = "16 different edits from slots"
SIDES = ("bare", "program-free", "resid_post of all layers", "16 different edits", SLOTS)
FLOORS = {
    "program-free": (1.02, 1.0),
    "resid_post of all layers": (1.06, 1.03),
    "16 different edits": (1.08, 1.04),
    SLOTS: (1.08, 1.04),
}


def side(name: str, path: str) -> None:
    """One side, with a vLLM of its own."""
    torch.set_num_threads(1)
    slots = BATCH if name == SLOTS else 0
    spec = ModelSpec("reference", path, dtype="float32", compiled=True, steering_slots=slots)
    if name == "bare":
        serve(_bare(spec))
        return
    from interp_magics.engine.vllm_engine.load import load

    engine = load(spec, options=OPTIONS)
    programs, objects = asked_of(engine.card)
    serve(ours(engine, programs[name.removesuffix(" from slots")], objects))


def _bare(spec: ModelSpec) -> Callable[[], None]:
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    from vllm import EngineArgs, SamplingParams
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.llm_engine import LLMEngine

    from interp_magics.engine.ranks import ALONE
    from interp_magics.engine.vllm_engine.starting import arguments

    added = ("worker_cls", "additional_config")
    plain = {name: value for name, value in arguments(spec, ALONE).items() if name not in added}
    engine: Any = LLMEngine.from_engine_args(EngineArgs(**plain, **OPTIONS, kv_cache_memory_bytes=1 << 30))
    rows, numbers = rows_of(), count()
    params = SamplingParams(
        max_tokens=rows[0].sampling.max_new_tokens,
        temperature=0.0,
        ignore_eos=True,
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
    )

    def run() -> None:
        for prompt in engine.renderer.render_cmpl([{"prompt_token_ids": list(row.text.ids)} for row in rows]):
            engine.add_request(f"bare{next(numbers)}", prompt, params)
        while engine.has_unfinished_requests():
            engine.step()

    return run


def main() -> None:
    """Drive all in turn, and store what was measured."""
    with tempfile.TemporaryDirectory() as directory:
        path = str(save_reference(Path(directory)))
        spent = dict(
            zip(SIDES, in_turn("benchmarks.vllm_compiled", [(name, path) for name in SIDES], ROUNDS), strict=True)
        )
    measured: dict[str, Any] = {"seconds": {name: round(float(np.median(s)), 3) for name, s in spent.items()}}
    for name, (floor, aim) in FLOORS.items():
        measured[name] = {**ratio(spent[name], spent["bare"]), "floor": floor, "aim": aim}
    write("vllm_compiled", measured)


if __name__ == "__main__":
    side(*sys.argv[1:]) if len(sys.argv) > 1 else main()
