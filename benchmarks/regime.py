"""The paper's regime: a prompt, a long completion, every layer decoded. Four ways of doing it, their time and memory.

    A        every token recomputes the whole prefix without a cache, and every layer and position is decoded at once
    A'       cached, but every layer of every new token is decoded at once and its logits are kept
    B        cached; the newest position of every layer is collected and decoded afterwards, top-k of the logits alone
    ours     cached; every position of every layer, top-k with true log-probabilities and entropy, decoded afterwards
    ours (B) the same for the positions that B decodes

A is timed on every 25th token and summed, since all of it would take hours; it is marked so. Each way runs in a process of
its own; memory is the peak of that process above what it held once the model was loaded and warm. B and ours (B), which are
near each other, are timed in interleaved pairs in one process as well.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.program.language import All, Generated, Ids, Lens, Positions, Program, Row, Sampling, Stage, Tap

from .checkpoint import reference_engine
from .pairs import ratio, write

K, EVERY, PAIRS = 5, 25, 15
PAIRED = "pairs"
SIZES = ((128, 64), (1000, 500))
Way = Callable[[list[int], int], float]


def ours(positions: Positions) -> Callable[[Any], Way]:
    """Our engine, reading `positions`."""

    def prepare(engine: Any) -> Way:
        tap = Tap("resid_post", positions=positions, reduce=Lens(top_k=K, kl_final=False))

        def run(ids: list[int], new: int) -> float:
            started = time.process_time()
            program = Program((Row(Ids(tuple(ids)), Sampling(new)),), (Stage((tap,)),))
            outcome = collect(engine, [Task(program, NoObjects())])[0]
            if isinstance(outcome, Exception):
                raise outcome
            return time.process_time() - started

        return run

    return prepare


def recompute(engine: Any) -> Way:
    model = engine._runner.model

    def step(ids: list[int]) -> int:
        caught: list[torch.Tensor] = []
        hooks = [b.register_forward_hook(lambda m, a, o: caught.append(o[0])) for b in model.model.layers]
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits
            kept = [model.lm_head(model.model.norm(hidden)) for hidden in caught]
            for each in kept:
                each.softmax(-1).topk(K)
        for hook in hooks:
            hook.remove()
        return int(logits[0, -1].argmax())

    def run(ids: list[int], new: int) -> float:
        spent, grown = 0.0, list(ids)
        for place in range(0, new, EVERY):
            grown = [*ids, *([7] * place)]
            started = time.process_time()
            step(grown)
            spent += (time.process_time() - started) * min(EVERY, new - place)
        return spent

    return run


def cached(at_once: bool) -> Callable[[Any], Way]:
    """Generation with a cache; every layer of a token decoded at once, or collected for afterwards."""

    def prepare(engine: Any) -> Way:
        model = engine._runner.model

        def run(ids: list[int], new: int) -> float:
            started = time.process_time()
            caught: list[torch.Tensor] = []
            hooks = [b.register_forward_hook(lambda m, a, o: caught.append(o[0])) for b in model.model.layers]
            kept, rows, cache, feed = [], [], None, torch.tensor([ids])
            with torch.inference_mode():
                for _ in range(new):
                    caught.clear()
                    out = model(input_ids=feed, past_key_values=cache, use_cache=True, logits_to_keep=1)
                    cache, feed = out.past_key_values, out.logits[:, -1:].argmax(-1)
                    if at_once:
                        for hidden in caught:
                            logits = model.lm_head(model.model.norm(hidden))
                            kept.append((logits, logits.softmax(-1).topk(K)))
                    else:
                        rows.append([hidden[-1:] for hidden in caught])
                for layer in zip(*rows, strict=True):
                    model.lm_head(model.model.norm(torch.cat(layer))).topk(K)
            for hook in hooks:
                hook.remove()
            return time.process_time() - started

        return run

    return prepare


WAYS: dict[str, Callable[[Any], Way]] = {
    "A": recompute,
    "A'": cached(at_once=True),
    "B": cached(at_once=False),
    "ours": ours(All()),
    "ours (B)": ours(Generated()),
}


def _peak() -> int:
    """Peak resident bytes since the last call of `_forget`."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _forget() -> int:
    """Begin a new peak at what is resident now; that."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def one(name: str, prompt: int, new: int) -> None:
    """Run one way at one size and print its seconds and bytes as JSON."""
    torch.set_num_threads(1)
    way = WAYS[name](reference_engine())
    ids = torch.randint(10, 30000, (prompt,), generator=torch.Generator().manual_seed(1)).tolist()
    way(ids[:16], 2)
    before = _forget()
    seconds = way(ids, new)
    print(json.dumps({"seconds": seconds, "megabytes": (_peak() - before) / 1e6}))


def paired(prompt: int, new: int) -> None:
    """Time B and ours (B) in turn and print the seconds of each round as JSON."""
    torch.set_num_threads(1)
    engine = reference_engine()
    ways = {name: WAYS[name](engine) for name in ("B", "ours (B)")}
    ids = torch.randint(10, 30000, (prompt,), generator=torch.Generator().manual_seed(1)).tolist()
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(PAIRS + 1):
        for name, way in ways.items():
            spent[name].append(way(ids, new))
    print(json.dumps({name: seconds[1:] for name, seconds in spent.items()}))


def _measured(name: str, prompt: int, new: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.regime", name, str(prompt), str(new)]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()[-1]
    made: dict[str, Any] = json.loads(said)
    return made


def main() -> None:
    measured: dict[str, Any] = {}
    for prompt, new in SIZES:
        found = {name: _measured(name, prompt, new) for name in WAYS}
        size = f"{prompt}+{new}"
        for name, figures in found.items():
            measured[f"{size} {name}: CPU s"] = round(figures["seconds"], 2)
            measured[f"{size} {name}: MB"] = round(figures["megabytes"], 1)
        measured[f"{size} A / ours: time (floor 41, aim 100 at 1,500 tokens)"] = (
            found["A"]["seconds"] / found["ours"]["seconds"]
        )
        measured[f"{size} A / ours: memory (floor 7, aim 30)"] = found["A"]["megabytes"] / found["ours"]["megabytes"]
        measured[f"{size} A' / ours: time"] = found["A'"]["seconds"] / found["ours"]["seconds"]
        pairs = {name: np.array(spent) for name, spent in _measured(PAIRED, prompt, new).items()}
        measured[f"{size} B / ours (B): time"] = {**ratio(pairs["B"], pairs["ours (B)"]), "floor": 1.0, "aim": 1.5}
    write("regime", measured)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        name, prompt, new = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        paired(prompt, new) if name == PAIRED else one(name, prompt, new)
    else:
        main()
