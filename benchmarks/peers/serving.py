"""One side of the comparison: a process that loads a model with one library and does a piece of work each time it is told.

Runs in the environment of that library, so it imports nothing of ours. A side is a module with a function `side(path)` that
gives an object with some of the methods `lens`, `generate`, `steer`, `users` and `batch`; each returns a number that all must agree on.
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

PROMPT, K = 256, 5
SHORT, NEW = 32, 64
USERS, EACH, STEERED, LAYER = 16, 24, 32, 6


def _draw(rows: int, length: int, seed: int) -> torch.Tensor:
    return torch.randint(10, 30000, (rows, length), generator=torch.Generator().manual_seed(seed))


def arguments(work: str) -> tuple[Any, ...]:
    """What a piece of work is given."""
    if work == "lens":
        return (_draw(1, PROMPT, 1),)
    if work == "generate":
        return _draw(1, SHORT, 2), NEW
    prompts = _draw(USERS, EACH, 3)
    if work == "batch":
        return (prompts,)
    vectors = torch.randn(USERS, 512, generator=torch.Generator().manual_seed(4)) * 0.05
    return prompts, STEERED, LAYER, vectors if work == "users" else vectors[0]


def main(name: str, path: str) -> None:
    torch.set_num_threads(1)
    out = sys.stdout
    sys.stdout = sys.stderr
    made = importlib.import_module(name).side(path)
    print(
        json.dumps([w for w in ("lens", "generate", "steer", "users", "batch") if hasattr(made, w)]),
        file=out,
        flush=True,
    )
    for line in sys.stdin:
        work = line.strip()
        given = arguments(work)
        started = time.process_time()
        value = float(getattr(made, work)(*given))
        print(json.dumps({"cpu": time.process_time() - started, "value": value}), file=out, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(*sys.argv[1:])
