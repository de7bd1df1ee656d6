"""Programs on vLLM beside bare vLLM: `python -m benchmarks.vllm`, in an environment with vLLM (`make bench-vllm`).

One vLLM in this process; the two sides take turns. Bare is the same engine asked through its own interface, with nothing of ours
in its passes; CPU seconds, one thread, sixteen prompts of 64 tokens and 64 new ones of each.
"""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interp_magics.engine.protocol import NoObjects, Outcome, Task, collect
from interp_magics.engine.vllm_engine.load import load
from interp_magics.launch.config import ModelSpec
from interp_magics.program.cards import ModelCard
from interp_magics.program.language import Edit, Ids, Program, Raw, Row, Sampling, Stage, Tap
from interp_magics.program.operations import Add, Stored

from .checkpoint import save_reference
from .pairs import interleaved, ratio, write

BATCH, PROMPT, NEW, ROUNDS = 16, 64, 64, 21
FLOORS = {"program-free": (1.02, 1.0), "resid_post of all layers": (1.06, 1.03), "16 different edits": (1.04, 1.02)}


def main() -> None:
    """Measure and store."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        spec = ModelSpec("reference", str(save_reference(Path(directory))), dtype="float32")
        engine: Any = load(spec, options={"enable_prefix_caching": False, "max_model_len": 1024})
        asked, objects = asked_of(engine.card)
        sides = {"bare": _bare(engine, rows_of())}
        sides |= {name: ours(engine, some, objects) for name, some in asked.items()}
        spent = interleaved(sides, ROUNDS)
        engine.close()
    measured: dict[str, Any] = {"seconds": {name: round(float(np.median(s)), 3) for name, s in spent.items()}}
    for name, (floor, aim) in FLOORS.items():
        measured[name] = {**ratio(spent[name], spent["bare"]), "floor": floor, "aim": aim}
    write("vllm", measured)


def rows_of() -> list[Row]:
    """The prompts, each with what is generated."""
    draw = np.random.default_rng(0)
    return [Row(Ids(tuple(draw.integers(10, 30000, PROMPT).tolist())), Sampling(NEW)) for _ in range(BATCH)]


def asked_of(card: ModelCard) -> tuple[dict[str, list[Program]], NoObjects]:
    """The programs of each side but bare, and their vectors."""
    rows = rows_of()
    objects = NoObjects({("d", str(i)): torch.randn(card.d_model) for i in range(BATCH)})
    edits = [Edit("resid_post", i % card.layers, Add(Stored("d", str(i)), 2.0)) for i in range(BATCH)]
    return {
        "program-free": [Program((row,)) for row in rows],
        "resid_post of all layers": [Program((row,), (Stage((Tap("resid_post", reduce=Raw()),)),)) for row in rows],
        "16 different edits": [Program((row,), (Stage((), (edit,)),)) for row, edit in zip(rows, edits, strict=True)],
    }, objects


def ours(engine: Any, programs: Sequence[Program], objects: NoObjects) -> Callable[[], None]:
    """A run of programs on our engine."""

    def run() -> None:
        found = collect(engine, [Task(program, objects) for program in programs])
        assert all(isinstance(one, Outcome) and len(one.rows[0].completion_ids) == NEW for one in found)

    return run


def _bare(engine: Any, rows: Sequence[Row]) -> Callable[[], None]:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    inner = engine._flight._seam._engine
    numbers = count()
    params = SamplingParams(
        max_tokens=NEW, temperature=0.0, ignore_eos=True, detokenize=False, output_kind=RequestOutputKind.DELTA
    )

    def run() -> None:
        with _unwatched(engine):
            prompts = [{"prompt_token_ids": list(row.text.ids)} for row in rows]
            for prompt in inner.renderer.render_cmpl(prompts):
                inner.add_request(f"bare{next(numbers)}", prompt, params)
            while inner.has_unfinished_requests():
                inner.step()

    return run


@contextmanager
def _unwatched(engine: Any) -> Any:
    """Without the wrapper, the hooks and the sampler that this project has put in place."""
    runner, model = engine._flight._seam._runner, engine._flight._seam.model
    wrapped = {name: runner.__dict__.pop(name) for name in ("execute_model", "_determine_batch_execution_and_padding")}
    before, after = dict(model._forward_pre_hooks), dict(model._forward_hooks)
    model._forward_pre_hooks.clear()
    model._forward_hooks.clear()
    processors = runner.input_batch.logitsprocs.non_argmax_invariant
    kept = [one for one in processors if type(one).__name__ == "Sampler"]
    processors[:] = [one for one in processors if one not in kept]
    try:
        yield
    finally:
        processors.extend(kept)
        model._forward_pre_hooks.update(before)
        model._forward_hooks.update(after)
        vars(runner).update(wrapped)


if __name__ == "__main__":
    main()
