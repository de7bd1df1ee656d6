"""The next token as the reference engine takes it, in vLLM's sampling: its logits are those that vLLM has made.

vLLM makes the object, in the process that holds the model, so that what rows ask for is found through this module.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcessor as SlotLogitsProcessor

from ...program.language import Sampling
from ..execution.sampling import sample

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig
    from vllm.v1.sample.logits_processor import BatchUpdate
    from vllm.v1.sample.logits_processor.interface import MoveDirectionality
    from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsContext, LogitsProcRequestState

#: The key of a request's extra arguments under which its number stands.
NUMBER = "interp_row"


class _Finite:
    """Which rows of a step have finite logits. It comes from a device without anyone who waits for it, until it is asked for."""

    def __init__(self, logits: Tensor) -> None:
        # A probability of 0 is a logit of -inf; +inf and nan are faults.
        finite = torch.isfinite(logits.amax(1))
        self._flags = finite.to("cpu", non_blocking=True)
        self._there = torch.cuda.Event() if finite.is_cuda else None
        if self._there is not None:
            self._there.record()

    def __getitem__(self, row: int) -> bool:
        if self._there is not None:
            self._there.synchronize()
        return bool(self._flags[row])


@dataclass
class Choice:
    """How the tokens of one request are taken; its logits are put into `seen`, if that is there."""

    sampling: Sampling | None
    vocabulary: int
    seen: list[Tensor] | None = None
    checks: list[tuple[_Finite, int]] = field(default_factory=list)
    failed: bool = False

    @property
    def sound(self) -> bool:
        """Whether its logits were finite."""
        while self.checks:
            finite, row = self.checks.pop()
            self.failed = self.failed or not finite[row]
        return not self.failed


#: What requests ask for, by number.
CHOICES: dict[int, Choice] = {}


class Sampler(LogitsProcessor):
    """For the first model runner, whose rows move from place to place."""

    def __init__(self, vllm_config: "VllmConfig", device: torch.device, is_pin_memory: bool) -> None:
        self._rows: dict[int, tuple[Choice, list[int]]] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: "BatchUpdate | None") -> None:
        """Follow the rows of the batch to their places."""
        if batch_update is None:
            return
        for index in batch_update.removed:
            self._rows.pop(index, None)
        for index, params, _, output in batch_update.added:
            self._rows.pop(index, None)
            if (choice := _asked(params)) is not None:
                self._rows[index] = choice, output
        for one, other, direction in batch_update.moved:
            self._move(one, other, direction)

    def _move(self, one: int, other: int, direction: "MoveDirectionality") -> None:
        moved, replaced = self._rows.pop(one, None), self._rows.pop(other, None)
        if moved is not None:
            self._rows[other] = moved
        if direction.name == "SWAP" and replaced is not None:
            self._rows[one] = replaced

    def apply(self, logits: Tensor) -> Tensor:
        """Logits [rows, vocabulary], changed in place."""
        return _chosen(logits, [(index, choice, len(output)) for index, (choice, output) in self._rows.items()])


class SlotSampler(SlotLogitsProcessor):
    """For the second model runner, whose requests each have a slot while they run."""

    def __init__(self, vllm_config: "VllmConfig", req_states: "LogitsProcRequestState") -> None:
        self._slots: dict[int, Choice] = {}
        self._prompt = req_states.prompt_len

    def add_request(self, req_idx: int, sampling_params: "SamplingParams") -> bool:
        """Whether a request is one of ours."""
        self._slots.pop(req_idx, None)
        if (choice := _asked(sampling_params)) is not None:
            self._slots[req_idx] = choice
        return req_idx in self._slots

    def apply(self, logits: Tensor, ctx: "LogitsContext") -> Tensor:
        """Logits [rows, vocabulary], changed in place."""
        slots = ctx.idx_mapping_np.tolist()
        made = (ctx.seq_lens_upper_bound_np[: len(slots)] - self._prompt.np[slots]).tolist()
        known = zip(range(len(slots)), slots, made, strict=True)
        # What is left of a prompt that was cut makes no token yet.
        return _chosen(
            logits, [(row, self._slots[slot], done) for row, slot, done in known if slot in self._slots and done >= 0]
        )


def _asked(params: "SamplingParams") -> Choice | None:
    return CHOICES.get((params.extra_args or {}).get(NUMBER, -1))


def _chosen(logits: Tensor, rows: Sequence[tuple[int, Choice, int]]) -> Tensor:
    """Leave greedy rows as they are, and of others the drawn token alone; of each its place, and its tokens so far."""
    if not rows:
        return logits
    finite = _Finite(logits)
    for index, choice, done in rows:
        choice.checks.append((finite, index))
        own = logits[index, : choice.vocabulary]
        if choice.seen is not None:
            choice.seen.append(own.float().clone())
        if choice.sampling is not None and choice.sampling.temperature > 0 and choice.sound:
            token = sample(own.float(), choice.sampling, done)
            logits[index] = -torch.inf
            logits[index, token] = 0.0
    return logits
