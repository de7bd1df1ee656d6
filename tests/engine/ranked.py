"""The engine on several ranks, as real processes: `run_on` gives the outcomes of rank 0.

Run as `python -m tests.engine.ranked RANK SIZE DIRECTORY`: reads DIRECTORY/cases, and rank 0 writes DIRECTORY/outcomes.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from interp_magics.engine import ranks as group
from interp_magics.engine.protocol import NoObjects, Outcome, Quiet, Task
from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import ModelSpec
from interp_magics.program.language import Program


@dataclass
class Case:
    """Programs to run together on the model in `path`."""

    path: Path
    programs: list[Program]
    objects: NoObjects
    dtype: str = "float32"


def run_on(size: int, directory: Path, cases: Sequence[Case]) -> list[list[Outcome | Exception]]:
    """Outcomes of every case on `size` ranks; the last outcome of a case is that of a row read again from what was held."""
    torch.save(list(cases), directory / "cases")
    started = [
        subprocess.Popen([sys.executable, "-m", "tests.engine.ranked", str(rank), str(size), str(directory)])
        for rank in range(size)
    ]
    try:
        for process in started:
            assert process.wait(240) == 0
    finally:
        for process in started:
            process.kill()
            process.wait()
    return torch.load(directory / "outcomes", weights_only=False)


def main(rank: int, size: int, directory: Path) -> None:
    torch.set_num_threads(1)
    cases: list[Case] = torch.load(directory / "cases", weights_only=False)
    ranks = group.join(rank, size, str(directory / "rendezvous"))
    made = []
    for case in cases:
        engine = load(ModelSpec(case.path.name, str(case.path), dtype=case.dtype, device="cpu"), ranks)
        if not ranks.first:
            engine.follow()
            continue
        tasks = [Task(program, case.objects) for program in case.programs]
        made.append(engine.run(tasks, Quiet()))
        engine.end()
    if ranks.first:
        torch.save(made, directory / "outcomes")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
