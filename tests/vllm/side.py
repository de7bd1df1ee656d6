"""One vLLM in a process of its own: `run_rounds` gives the outcomes of programs that come one round after another.

Run as `python -m tests.vllm.side DIRECTORY`: reads DIRECTORY/case, writes DIRECTORY/told.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from interp_magics.engine.protocol import Collecting, NoObjects, Outcome, Reading, RowOutcome, Task, collect
from interp_magics.launch.config import ModelSpec
from interp_magics.program.language import Program
from tests.vllm.interpreted import Runner, choose, environment


@dataclass
class Rounds:
    """Programs to run together, round after round, on the model in `path` with vLLM's `options`. Of each round the task
    `cancel` gives is cancelled when it has three tokens; in round `fault` the model raises once, in its pass `at`."""

    path: Path
    rounds: Sequence[Sequence[Program]]
    objects: NoObjects
    options: Mapping[str, Any] = field(default_factory=dict)
    cancel: Mapping[int, int] = field(default_factory=dict)
    fault: int = -1
    at: int = 0
    dtype: str = "float32"
    runner: Runner = "first"
    compiled: bool = False
    slots: int = 0


@dataclass
class Told:
    """Outcomes of each round; tokens that its requests found in the cache, how often one of them lost its pages, the
    last position that each word of a lens which streams was of, and whether each step was kept out of CUDA graphs."""

    outcomes: list[list[Outcome | Exception]]
    cached: list[int]
    preempted: list[int]
    streamed: list[list[int]]
    ungraphed: list[list[bool]]


def run_rounds(directory: Path, case: Rounds) -> Told:
    torch.save(case, directory / "case")
    command = [sys.executable, "-m", "tests.vllm.side", str(directory)]
    subprocess.run(command, check=True, timeout=240, env=environment(case.runner))
    return Told(*torch.load(directory / "told", weights_only=False))


class _Cancelling(Collecting):
    def __init__(self, task: int | None) -> None:
        super().__init__()
        self._task, self._tokens = task, 0
        self.streamed: list[int] = []

    def generated(self, task: int, row: int, completion: Sequence[int]) -> None:
        self._tokens = max(self._tokens, len(completion)) if task == self._task else self._tokens

    def decoded(self, task: int, rows: Sequence[RowOutcome], readings: Sequence[Reading]) -> None:
        newest = readings[0].positions[0][-1]
        assert newest < len(rows[0].token_ids)
        self.streamed.append(newest)

    def cancelled(self, task: int) -> bool:
        return task == self._task and self._tokens >= 3


class _Faulty:
    """Makes the model raise once, in the middle of pass `at`."""

    def __init__(self, engine: Any, at: int) -> None:
        self._left = at
        self._module = engine._flight._seam.model.model.layers[1]
        self._handle: Any = None

    def arm(self) -> None:
        self._handle = self._module.register_forward_pre_hook(self._raise)

    def _raise(self, module: Any, arguments: Any) -> None:
        self._left -= 1
        if self._left >= 0:
            return
        self._handle.remove()
        raise RuntimeError("a fault of the device")


def main(directory: Path) -> None:
    case: Rounds = torch.load(directory / "case", weights_only=False)
    choose(case.runner)
    from interp_magics.engine.vllm_engine.load import load

    torch.set_num_threads(1)
    spec = ModelSpec(
        case.path.name,
        str(case.path),
        dtype=case.dtype,
        engine="vllm",
        compiled=case.compiled,
        steering_slots=case.slots,
    )
    engine: Any = load(spec, options=dict(case.options))
    faulty = _Faulty(engine, case.at)
    seen: list[dict[str, int]] = []
    preempted = [0]
    ungraphed: list[list[bool]] = []
    _spy(engine, seen, preempted)
    _spy_graphs(engine, ungraphed)
    told: tuple[list[Any], list[int], list[int], list[list[int]], list[list[bool]]] = ([], [], [], [], ungraphed)
    for number, programs in enumerate(case.rounds):
        seen.append({})
        preempted.append(0)
        ungraphed.append([])
        if number == case.fault:
            faulty.arm()
        host = _Cancelling(case.cancel.get(number))
        told[0].append(collect(engine, [Task(one, case.objects) for one in programs], host))
        told[1].append(sum(seen[-1].values()))
        told[2].append(preempted[-1])
        told[3].append(host.streamed)
    engine.close()
    torch.save(told, directory / "told")


def _spy(engine: Any, seen: list[dict[str, int]], preempted: list[int]) -> None:
    inner = engine._flight._seam._engine
    step, scheduler = inner.step, inner.engine_core.engine_core.scheduler
    preempt = scheduler._preempt_request

    def stepped() -> Any:
        outputs = step()
        for output in outputs:
            seen[-1][output.request_id] = output.num_cached_tokens or 0
        return outputs

    def preempting(*arguments: Any, **named: Any) -> Any:
        preempted[-1] += 1
        return preempt(*arguments, **named)

    inner.step, scheduler._preempt_request = stepped, preempting


def _spy_graphs(engine: Any, ungraphed: list[list[bool]]) -> None:
    runner = engine._flight._seam._runner
    if hasattr(runner, "cudagraph_dispatcher"):
        _spy_dispatcher(runner.cudagraph_dispatcher, ungraphed)
    else:
        _spy_manager(runner, ungraphed)


def _spy_dispatcher(dispatcher: Any, ungraphed: list[list[bool]]) -> None:
    """The first runner names the modes that it allows."""
    dispatch = dispatcher.dispatch

    def dispatching(*given: Any, **named: Any) -> Any:
        if ungraphed:
            ungraphed[-1].append({mode.name for mode in named["valid_modes"] or ()} == {"NONE"})
        return dispatch(*given, **named)

    dispatcher.dispatch = dispatching


def _spy_manager(runner: Any, ungraphed: list[list[bool]]) -> None:
    """The second asks for a graph where it allows one."""
    asked: list[bool] = []
    dispatch, prepare = runner.cudagraph_manager.dispatch, runner.prepare_inputs

    def dispatching(*given: Any, **named: Any) -> Any:
        asked.append(True)
        return dispatch(*given, **named)

    def preparing(*given: Any, **named: Any) -> Any:
        if ungraphed:
            ungraphed[-1].append(not asked)
        asked.clear()
        return prepare(*given, **named)

    runner.cudagraph_manager.dispatch, runner.prepare_inputs = dispatching, preparing


if __name__ == "__main__":
    main(Path(sys.argv[1]))
