"""How time and memory grow: a lens with tokens and with layers, generation with users. Medians of a few runs."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.program.language import Ids, Lens, Program, Row, Sampling, Stage, Tap

from .checkpoint import reference_engine
from .pairs import write
from .regime import _forget, _peak

RUNS = 3
TOKENS, LAYERS, USERS = (64, 256, 1024, 4096), (6, 12, 24, 48), (1, 2, 4, 8, 16, 32)
_TAP = Tap("resid_post", reduce=Lens(top_k=5))


def _task(tokens: int, new: int = 0, taps: tuple[Tap, ...] = (_TAP,), seed: int = 1) -> Task:
    ids = torch.randint(10, 30000, (tokens,), generator=torch.Generator().manual_seed(seed)).tolist()
    row = Row(Ids(tuple(ids)), Sampling(new) if new else None)
    return Task(Program((row,), (Stage(taps),)), NoObjects())


def _measured(run: Callable[[], Any]) -> dict[str, float]:
    """Median CPU seconds, and by how many megabytes the process grew at most."""
    spent, rise = [], []
    for _ in range(RUNS):
        held = _forget()
        started = time.process_time()
        run()
        spent.append(time.process_time() - started)
        rise.append((_peak() - held) / 1e6)
    return {"seconds": round(statistics.median(spent), 3), "rise_mb": round(statistics.median(rise), 1)}


def main() -> None:
    torch.set_num_threads(1)
    made: dict[str, Any] = {"tokens": {}, "layers": {}, "users": {}}
    engine = reference_engine()
    for tokens in TOKENS:
        made["tokens"][tokens] = _measured(lambda tokens=tokens: collect(engine, [_task(tokens)]))
    for users in USERS:
        tasks = [_task(24, 32, (), seed) for seed in range(users)]
        seconds = _measured(lambda tasks=tasks: collect(engine, tasks))["seconds"]
        made["users"][users] = {"tokens_per_second": round(users * 32 / seconds, 1)}
    for layers in LAYERS:
        engine = reference_engine(layers)
        made["layers"][layers] = _measured(lambda engine=engine: collect(engine, [_task(256)]))
    for what, points in made.items():
        print(what, points)
    write("growth", {"of": made})


if __name__ == "__main__":
    main()
