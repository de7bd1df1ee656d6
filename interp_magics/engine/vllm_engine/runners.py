"""vLLM's two model runners: what the present forward call of each is of, and how each is kept out of its CUDA graphs.

A CUDA graph repeats what was launched when it was recorded, which was nothing of ours, so that steps in which something is read or
written run the compiled code without one.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol


class Row(NamedTuple):
    """A request in a forward call: its name, how many of its tokens were read before, and how many are read now."""

    name: str
    start: int
    taken: int


#: Called with the requests of a step when they are known, before it runs, in a CUDA graph or not.
Prepared = Callable[[Sequence[Row]], None]


class Runner(Protocol):
    """What is asked of a model runner."""

    def rows(self) -> list[Row]:
        """The requests of the present forward call in their order; none where vLLM only tries itself."""
        ...


class FirstRunner:
    """Keeps its batch from step to step, in an order of its own; the scheduler's word says how much of it is read."""

    def __init__(self, runner: Any, busy: Callable[[], bool], prepared: Prepared) -> None:
        self._runner, self._scheduled = runner, None
        execute, decide = runner.execute_model, runner._determine_batch_execution_and_padding

        def execute_model(scheduled: Any, *given: Any, **named: Any) -> Any:
            self._scheduled = scheduled
            try:
                return execute(scheduled, *given, **named)
            finally:
                self._scheduled = None

        def decided(*given: Any, **named: Any) -> Any:
            prepared(self.rows())
            return decide(*given, **{**named, "force_eager": named.get("force_eager", False) or busy()})

        runner.execute_model, runner._determine_batch_execution_and_padding = execute_model, decided

    def rows(self) -> list[Row]:
        """See Runner."""
        if self._scheduled is None:
            return []
        batch, counts = self._runner.input_batch, self._scheduled.num_scheduled_tokens
        return [
            Row(name, int(batch.num_computed_tokens_cpu[index]), int(counts.get(name, 0)))
            for index, name in enumerate(batch.req_ids)
        ]


class SecondRunner:
    """Makes its batch anew for each step."""

    def __init__(self, runner: Any, busy: Callable[[], bool], prepared: Prepared) -> None:
        from vllm.v1.worker.gpu import model_runner

        self._batch: Any = None
        execute, prepare, dispatch = runner.execute_model, runner.prepare_inputs, model_runner.dispatch_cg_and_sync_dp

        def prepare_inputs(*given: Any, **named: Any) -> Any:
            self._batch = prepare(*given, **named)
            prepared(self.rows())
            return self._batch

        def execute_model(*given: Any, **named: Any) -> Any:
            try:
                return execute(*given, **named)
            finally:
                self._batch = None

        def dispatched(*given: Any, **named: Any) -> Any:
            return dispatch(*given, **{**named, "need_eager": named.get("need_eager", False) or busy()})

        runner.execute_model, runner.prepare_inputs = execute_model, prepare_inputs
        model_runner.dispatch_cg_and_sync_dp = dispatched

    def rows(self) -> list[Row]:
        """See Runner."""
        if self._batch is None:
            return []
        batch = self._batch
        return [
            Row(name, int(start), int(taken))
            for name, start, taken in zip(
                batch.req_ids, batch.num_computed_tokens_np, batch.num_scheduled_tokens, strict=True
            )
        ]
