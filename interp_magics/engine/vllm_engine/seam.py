"""How vLLM is started in this process, asked, and watched at each forward call.

Every rank of a group runs vLLM's scheduler itself and is asked the same in the same order, so that all schedule the same:
nothing travels between processes but what the model's layers exchange.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from torch import nn

from ...errors import RequestError
from ...launch.config import ModelSpec
from ..execution.batch import Pass
from ..ranks import Ranks
from .runners import FirstRunner, Row, Runner, SecondRunner
from .starting import start

_MODELS = "vllm.model_executor.models"


@dataclass(frozen=True)
class Asked:
    """A request: token ids that are read, how many are generated, what its pages may be shared with (`salt`; None: with all), and
    whether pages that others have filled may stand for reading them."""

    number: int
    ids: tuple[int, ...]
    max_tokens: int
    salt: str | None
    reuse: bool


@dataclass(frozen=True)
class Told:
    """New tokens of a request after a step, and whether it has ended."""

    number: int
    tokens: tuple[int, ...]
    ended: bool


class _Stages:
    """The pipeline: `count` stages, this process in stage `number`; `ranks` are those of a stage."""

    def __init__(self, config: Any, ranks: Ranks) -> None:
        from vllm.distributed.parallel_state import get_pp_group, get_tp_group

        self.count, self._per_stage = int(config.pipeline_parallel_size), int(config.tensor_parallel_size)
        self.number = int(get_pp_group().rank_in_group)
        stage = get_tp_group()
        alone = self.count == 1
        self.ranks = ranks if alone else Ranks(stage.rank_in_group, stage.world_size, None, stage.device_group)

    def first_rank(self, stage: int) -> int:
        """Of all ranks the first of a stage."""
        return stage * self._per_stage

    def of_layer(self, layer: int, layers: int) -> int:
        """The stage of a layer."""
        from vllm.distributed.utils import get_pp_indices

        spans = (get_pp_indices(layers, stage, self.count) for stage in range(self.count))
        return next(stage for stage, (start, stop) in enumerate(spans) if start <= layer < stop)


def head_of(model: Any) -> Any:
    """What makes logits of the stream; of models that have it once with the embedding, that."""
    return getattr(model, "lm_head", None) or model.model.embed_tokens


def is_native(model: nn.Module) -> bool:
    """Whether a model is of vLLM's own modules, and not of transformers'."""
    return not type(model).__module__.startswith(f"{_MODELS}.transformers")


def is_here(module: nn.Module) -> bool:
    """Whether a module is in this stage of a pipeline."""
    return type(module).__name__ != "PPMissingLayer"


class Seam:
    """vLLM in this process, with one model."""

    def __init__(self, spec: ModelSpec, ranks: Ranks, options: dict[str, Any]) -> None:
        """Raises RequestError when the model cannot be loaded."""
        started = start(spec, ranks, options)
        self.version, self.compiled = started.version, spec.compiled
        self._engine, self._adapter = started.engine, started.adapter
        self._core = self._engine.engine_core.engine_core
        worker = self._core.model_executor.driver_worker.worker
        self._runner = worker.model_runner
        second = bool(self._engine.vllm_config.use_v2_model_runner)
        self._watched: Runner = (SecondRunner if second else FirstRunner)(self._runner, self._is_busy, self._prepared)
        self.stages = _Stages(self._engine.vllm_config.parallel_config, ranks)
        self._allot()
        self.model: nn.Module = self._runner.get_model()
        self.native = is_native(self.model)
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._before: Callable[[Pass], None] = lambda call: None
        self._after: Callable[[], None] = lambda: None
        self._busy: Callable[[], bool] = lambda: False
        self._steps: Callable[[Pass], None] | None = None
        self.model.register_forward_pre_hook(self._entered)
        self.model.register_forward_hook(self._left, always_call=True)

    def _allot(self) -> None:
        """vLLM leaves out a warm-up on CPUs, and with it the buffers in which a stage receives."""
        runner = self._runner
        if self.stages.number and runner.intermediate_tensors is None:
            runner.intermediate_tensors = runner.get_model().make_empty_intermediate_tensors(
                batch_size=runner.max_num_tokens, dtype=runner.model_config.dtype, device=runner.device
            )

    @property
    def context(self) -> int:
        """Tokens that a row may have which are read: vLLM has room for one more, which it takes and nobody feeds."""
        return int(self._engine.model_config.max_model_len) - 1

    @property
    def block(self) -> int:
        """Tokens of a page."""
        return int(self._engine.vllm_config.cache_config.block_size)

    def figures(self) -> dict[str, float]:
        """Requests that run and that wait, and the share of pages that is taken."""
        running, waiting = self._core.scheduler.get_request_counts()
        usage = self._core.scheduler.get_kv_cache_usage()
        return {"running_requests": running, "waiting_requests": waiting, "kv_cache_usage": usage}

    def close(self) -> None:
        """End vLLM and what it holds between ranks."""
        self._core.shutdown()

    def follow(self, before: Callable[[Pass], None], after: Callable[[], None], busy: Callable[[], bool]) -> None:
        """Call `before` each forward call with what it is of, and `after` it, whatever happens; `busy` says of a step that is about to
        run whether anything is read or written in it."""
        self._before, self._after, self._busy = before, after, busy

    def follow_steps(self, prepared: Callable[[Pass], None]) -> None:
        """Call `prepared` before each step with what it is of, whether or not the model is called: it is not in a CUDA graph."""
        self._steps = prepared

    def add(self, asked: Asked) -> None:
        """Queue a request. Raises RequestError when vLLM does not take it."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        from .sampler import NUMBER

        params = SamplingParams(
            max_tokens=asked.max_tokens,
            temperature=0.0,
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
            skip_reading_prefix_cache=not asked.reuse,
            extra_args={NUMBER: asked.number},
        )
        prompt: dict[str, Any] = {"prompt_token_ids": list(asked.ids)}
        if asked.salt is not None:
            prompt["cache_salt"] = asked.salt
        try:
            (rendered,) = self._engine.renderer.render_cmpl([prompt])
            name = self._engine.add_request(str(asked.number), rendered, params, lora_request=self._adapter)
        except ValueError as error:
            raise RequestError(f"vLLM does not take a row of {len(asked.ids)} tokens: {error}") from error
        self._numbers[name], self._names[asked.number] = asked.number, name

    def abort(self, numbers: Sequence[int]) -> None:
        """End requests; what they have is let go."""
        names = [self._names[number] for number in numbers if number in self._names]
        if names:
            self._engine.abort_request(names, internal=True)
        for number in numbers:
            self._forget(number)

    def step(self) -> list[Told]:
        """Run what the scheduler gives; what requests have of it."""
        told = []
        for output in self._engine.step():
            number = int(output.request_id)
            told.append(Told(number, tuple(output.outputs[0].token_ids), output.finished))
            if output.finished:
                self._forget(number)
        return told

    def forget_pages(self) -> None:
        """Let no page stand for others: vLLM takes a page for filled when it schedules it."""
        self._engine.reset_prefix_cache()

    def _forget(self, number: int) -> None:
        self._numbers.pop(self._names.pop(number, ""), None)

    def _is_busy(self) -> bool:
        return self._busy()

    def _prepared(self, rows: Sequence[Row]) -> None:
        if rows and self._steps is not None:
            self._steps(self._pass(rows))

    def _entered(self, module: nn.Module, arguments: Any) -> None:
        if rows := self._watched.rows():
            self._before(self._pass(rows))

    def _left(self, module: nn.Module, arguments: Any, output: Any) -> None:
        self._after()

    def _pass(self, rows: Sequence[Row]) -> Pass:
        """A forward call of requests one after another in one row."""
        columns = accumulate((row.taken for row in rows), initial=0)
        known = [
            (row, column) for row, column in zip(rows, columns, strict=False) if row.taken and row.name in self._numbers
        ]
        return Pass(
            members=tuple(self._numbers[row.name] for row, _ in known),
            starts=tuple(row.start for row, _ in known),
            rows=(0,) * len(known),
            columns=tuple(column for _, column in known),
            counts=tuple(row.taken for row, _ in known),
        )
