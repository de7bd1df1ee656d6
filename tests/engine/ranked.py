"""The engine on several ranks, as real processes: `run_on` and `run_on_nodes` give the outcomes of rank 0.

Run as `python -m tests.engine.ranked RANK SIZE DIRECTORY [HOST:PORT LISTENER]`: reads DIRECTORY/cases, and rank 0 writes
DIRECTORY/outcomes. The ranks meet in that directory, or at HOST:PORT.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from msgspec import structs

from interp_magics.engine import ranks as group
from interp_magics.engine.execution import reading
from interp_magics.engine.protocol import NoObjects, Outcome, Task, collect
from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import Engine, ModelImpl, ModelSpec, Place
from interp_magics.program.language import Program
from interp_magics.worker.meeting import listening
from tests.engine.running import Arriving
from tests.vllm.interpreted import Runner, choose, environment


@dataclass
class Case:
    """Programs to run together on the model in `path`, and what joins program `watched` when it has two tokens. `runner` is
    that of vLLM, see tests/vllm/interpreted.py."""

    path: Path
    programs: list[Program]
    objects: NoObjects
    joining: Sequence[Program] = ()
    watched: int = 0
    dtype: str = "float32"
    engine: Engine = "transformers"
    stages: int = 1
    compiled: bool = False
    model_impl: ModelImpl = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    runner: Runner = "first"
    adapter: Path | None = None
    slots: int = 0


def run_on(size: int, directory: Path, cases: Sequence[Case]) -> list[list[Outcome | Exception]]:
    """Outcomes of every case on `size` ranks, in the order in which its programs came."""
    here = [sys.executable, "-m", "tests.engine.ranked"]
    return _outcomes([[*here, str(rank), str(size), str(directory)] for rank in range(size)], directory, cases)


def run_on_nodes(directory: Path, cases: Sequence[Case]) -> list[list[Outcome | Exception]]:
    """The same on two ranks that meet as those of two hosts do."""
    here = [sys.executable, "-m", "tests.engine.ranked"]
    with listening("127.0.0.1") as listener:
        meet = f"127.0.0.1:{listener.getsockname()[1]}"
        commands = [[*here, str(rank), "2", str(directory), meet, str(listener.fileno())] for rank in (0, 1)]
        return _outcomes(commands, directory, cases, (listener.fileno(),))


def _outcomes(
    commands: Sequence[Sequence[str]], directory: Path, cases: Sequence[Case], given: Sequence[int] = ()
) -> list[list[Outcome | Exception]]:
    torch.save(list(cases), directory / "cases")
    here = environment(cases[0].runner)
    started = [subprocess.Popen(command, pass_fds=given, env=here) for command in commands]
    try:
        assert [process.wait(240) for process in started] == [0] * len(started)
    finally:
        for process in started:
            process.kill()
            process.wait()
    return torch.load(directory / "outcomes", weights_only=False)


def main(rank: int, size: int, directory: Path, meet: str = "", listener: str = "") -> None:
    torch.set_num_threads(1)
    reading.WAITING = 8
    cases: list[Case] = torch.load(directory / "cases", weights_only=False)
    place = Place(rank=rank, local_rank=rank, rendezvous=meet or str(directory / "rendezvous"))
    if meet:
        place = structs.replace(place, local_rank=0, node_rank=rank, listener=None if rank else int(listener))
    ranks = group.join(size, place)
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
        model_impl=case.model_impl,
        adapter=None if case.adapter is None else str(case.adapter),
        steering_slots=case.slots,
    )
    if case.engine == "transformers":
        return load(spec, ranks)
    choose(case.runner)
    from interp_magics.engine.vllm_engine.load import load as load_vllm

    engine = load_vllm(spec, ranks, dict(case.options))
    assert not case.slots or engine._flight.tables.used
    return engine


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
