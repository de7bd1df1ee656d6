"""The engine on several ranks, as real processes: `run_on` and `run_on_nodes` give the outcomes of rank 0.

Run as `python -m tests.engine.ranked RANK SIZE DIRECTORY`: reads DIRECTORY/cases, and rank 0 writes DIRECTORY/outcomes. With
"env" as RANK the ranks meet as torchrun tells them.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from interp_magics.engine import ranks as group
from interp_magics.engine.execution import reading
from interp_magics.engine.protocol import NoObjects, Outcome, Task, collect
from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import Engine, ModelSpec
from interp_magics.program.language import Program
from tests.engine.running import Arriving


@dataclass
class Case:
    """Programs to run together on the model in `path`, and what joins program `watched` when it has two tokens."""

    path: Path
    programs: list[Program]
    objects: NoObjects
    joining: Sequence[Program] = ()
    watched: int = 0
    dtype: str = "float32"
    engine: Engine = "transformers"
    stages: int = 1
    compiled: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def run_on(size: int, directory: Path, cases: Sequence[Case]) -> list[list[Outcome | Exception]]:
    """Outcomes of every case on `size` ranks, in the order in which its programs came."""
    here = [sys.executable, "-m", "tests.engine.ranked"]
    return _outcomes([[*here, str(rank), str(size), str(directory)] for rank in range(size)], directory, cases)


def run_on_nodes(directory: Path, cases: Sequence[Case]) -> list[list[Outcome | Exception]]:
    """The same on two ranks, each started by a torchrun of its own as on two hosts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--max-restarts=0"]
    torchrun += ["--rdzv-backend=static", "--master-addr=127.0.0.1", f"--master-port={port}"]
    script = ["-m", "tests.engine.ranked", "env", "2", str(directory)]
    return _outcomes([[*torchrun, f"--node-rank={node}", *script] for node in (0, 1)], directory, cases)


def _outcomes(
    commands: Sequence[Sequence[str]], directory: Path, cases: Sequence[Case]
) -> list[list[Outcome | Exception]]:
    torch.save(list(cases), directory / "cases")
    started = [subprocess.Popen(command) for command in commands]
    try:
        assert [process.wait(240) for process in started] == [0] * len(started)
    finally:
        for process in started:
            process.kill()
            process.wait()
    return torch.load(directory / "outcomes", weights_only=False)


def main(rank: str, size: int, directory: Path) -> None:
    torch.set_num_threads(1)
    reading.WAITING = 8
    cases: list[Case] = torch.load(directory / "cases", weights_only=False)
    if rank == "env":
        ranks = group.join(int(os.environ["RANK"]), size, "env://")
    else:
        ranks = group.join(int(rank), size, str(directory / "rendezvous"))
    made = []
    for case in cases:
        engine = _load(case, ranks)
        if not ranks.first:
            engine.follow()
            engine.close()
            continue
        tasks = [Task(program, case.objects) for program in case.programs]
        found = collect(engine, tasks)
        if case.joining:
            found += collect(engine, [tasks[case.watched]], Arriving(case.objects, {2: case.joining}))[1:]
        made.append(found)
        engine.end()
        engine.close()
    if ranks.first:
        torch.save(made, directory / "outcomes")
    group.leave()


def _load(case: Case, ranks: group.Ranks) -> Any:
    tp = ranks.size // case.stages
    spec = ModelSpec(
        case.path.name,
        str(case.path),
        dtype=case.dtype,
        device="cpu",
        tp=tp,
        pp=case.stages,
        engine=case.engine,
        compiled=case.compiled,
    )
    if case.engine == "transformers":
        return load(spec, ranks)
    from interp_magics.engine.vllm_engine.load import load as load_vllm

    return load_vllm(spec, ranks, dict(case.options))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
