"""Sixteen requests at once, or each some steps after the one before, beside the same sixteen one after another: rows of
many users in one pass."""

from collections.abc import Sequence

import torch

from interp_magics.engine.protocol import Collecting, NoObjects, Room, Task, Wish, collect
from interp_magics.program.language import Ids, Lens, Program, Row, Sampling, Stage, Tap

from .checkpoint import reference_engine
from .pairs import interleaved, write

USERS, PROMPT, NEW, EVERY = 16, 24, 32, 4


class Coming(Collecting):
    """A host to which one more task comes every few steps."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__()
        self._left = list(tasks)
        self._steps = 0

    def wish(self, joins: bool) -> Wish:
        self._steps += 1
        return Wish.JOIN if self._left and self._steps % EVERY == 0 else Wish.GO_ON

    def joining(self, room: Room) -> Sequence[Task]:
        return [self._left.pop(0)]


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
                "as they come": lambda wanted=wanted: collect(engine, wanted[:1], Coming(wanted[1:])),
                "in turn": lambda wanted=wanted: [collect(engine, [task]) for task in wanted],
            },
            rounds=7,
        )
        for way, target in (("together", " (floor 5, aim 8)"), ("as they come", "")):
            speedup = sorted(spent["in turn"] / spent[way])
            measured[f"{name}: throughput of {USERS} {way} / in turn{target}"] = float(speedup[len(speedup) // 2])
    write("batch", measured)


if __name__ == "__main__":
    main()
