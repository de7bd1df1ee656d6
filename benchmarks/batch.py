"""Sixteen requests at once, beside the same sixteen one after another: rows of many users in one pass."""

import torch

from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.program.language import Ids, Lens, Program, Row, Sampling, Stage, Tap

from .checkpoint import reference_engine
from .pairs import interleaved, write

USERS, PROMPT, NEW = 16, 24, 32


def main() -> None:
    torch.set_num_threads(1)
    engine = reference_engine()
    draw = torch.Generator().manual_seed(1)
    prompts = [torch.randint(10, 30000, (PROMPT,), generator=draw).tolist() for _ in range(USERS)]
    tap = Tap("resid_post", reduce=Lens(top_k=5))
    tasks = {
        "generate": [Task(Program((Row(Ids(tuple(p)), Sampling(NEW)),), (Stage(),)), NoObjects()) for p in prompts],
        "lens": [Task(Program((Row(Ids(tuple(p)), Sampling(NEW)),), (Stage((tap,)),)), NoObjects()) for p in prompts],
    }
    measured = {}
    for name, wanted in tasks.items():
        spent = interleaved(
            {
                "together": lambda wanted=wanted: collect(engine, wanted),
                "in turn": lambda wanted=wanted: [collect(engine, [task]) for task in wanted],
            },
            rounds=7,
        )
        speedup = sorted(spent["in turn"] / spent["together"])
        measured[f"{name}: throughput of {USERS} together / in turn (floor 5, aim 8)"] = float(
            speedup[len(speedup) // 2]
        )
    write("batch", measured)


if __name__ == "__main__":
    main()
