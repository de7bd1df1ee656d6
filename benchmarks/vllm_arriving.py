"""Requests that arrive while others run, on vLLM and on the reference engine: `python -m benchmarks.vllm_arriving`.

Each engine is a long-lived process, one thread; they run the same 64 requests in turn, and CPU seconds are compared pair by pair.
Eight are there at first, and one more comes for every twelve tokens that have been generated. Prompts have 16 to 400 tokens, 8 to 96
are generated; a quarter each is plain, reads the stream of three layers, is steered, and decodes all layers of what it generates.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interp_magics.engine.protocol import Collecting, NoObjects, Outcome, Room, Task, Wish
from interp_magics.launch.config import ModelSpec
from interp_magics.program.language import Edit, Generated, Ids, Lens, Program, Raw, Row, Sampling, Stage, Tap
from interp_magics.program.operations import Add, Stored

from .checkpoint import save_reference
from .pairs import ratio, write
from .turns import in_turn, serve

REQUESTS, THERE, EVERY, ROUNDS = 64, 8, 12, 15
ENGINES = ("vllm", "transformers")


class _Arriving(Collecting):
    """Tasks that come as tokens are generated."""

    def __init__(self, waiting: Sequence[Task]) -> None:
        super().__init__()
        self._waiting, self._tokens, self._come = list(waiting), 0, 0

    def generated(self, task: int, row: int, completion: Sequence[int]) -> None:
        self._tokens += 1

    def wish(self, joins: bool) -> Wish:
        return Wish.JOIN if joins and self._waiting and self._due else Wish.GO_ON

    @property
    def _due(self) -> int:
        return min(len(self._waiting), self._tokens // EVERY - self._come)

    def joining(self, room: Room) -> Sequence[Task]:
        taken = []
        for task in self._waiting[: max(0, self._due)]:
            if not room.take([task.program]):
                break
            taken.append(task)
        del self._waiting[: len(taken)]
        self._come += len(taken)
        return taken

    @property
    def left(self) -> list[Task]:
        """Those that never found room."""
        return self._waiting


def _tasks(card: Any) -> list[Task]:
    draw = np.random.default_rng(0)
    objects = NoObjects({("d", "x"): torch.from_numpy(draw.standard_normal(card.d_model).astype(np.float32))})
    stages = (
        Stage(),
        Stage((Tap("resid_post", (2, 6, 10), reduce=Raw()),)),
        Stage((), (Edit("resid_post", 6, Add(Stored("d", "x"), 2.0)),)),
        Stage((Tap("resid_post", positions=Generated(), reduce=Lens(top_k=5)),)),
    )
    made = []
    for number in range(REQUESTS):
        ids = tuple(draw.integers(10, 30000, int(draw.integers(16, 400))).tolist())
        row = Row(Ids(ids), Sampling(int(draw.integers(8, 97))))
        made.append(Task(Program((row,), (stages[number % len(stages)],)), objects))
    return made


def side(name: str, path: str) -> None:
    """Serve one engine: a run for every line on standard input, its CPU seconds on standard output."""
    torch.set_num_threads(1)
    engine = _load(name, path)
    tasks = _tasks(engine.card)

    def run() -> None:
        host = _Arriving(tasks[THERE:])
        engine.run(tasks[:THERE], host)
        results = list(host.results.values())
        while host.left:
            later = _Arriving([])
            left, host = host.left, later
            engine.run(left, later)
            results += later.results.values()
        assert len(results) == REQUESTS and all(isinstance(one, Outcome) for one in results)

    serve(run)


def _load(name: str, path: str) -> Any:
    spec = ModelSpec("reference", path, dtype="float32", device="cpu")
    if name == "vllm":
        from interp_magics.engine.vllm_engine.load import load

        return load(spec, options={"max_model_len": 1024})
    from interp_magics.engine.transformers_engine.load import load as load_reference

    return load_reference(spec)


def main() -> None:
    """Drive both in turn, and store what was measured."""
    with tempfile.TemporaryDirectory() as directory:
        path = str(save_reference(Path(directory)))
        ours, theirs = in_turn("benchmarks.vllm_arriving", [(name, path) for name in ENGINES], ROUNDS)
    found = {**ratio(ours, theirs), "floor": 0.5, "aim": 0.33}
    seconds = dict(zip(ENGINES, (round(float(np.median(some)), 3) for some in (ours, theirs)), strict=True))
    write("vllm_arriving", {"seconds": seconds, "64 arriving requests over the reference engine": found})


if __name__ == "__main__":
    side(*sys.argv[1:]) if len(sys.argv) > 1 else main()
