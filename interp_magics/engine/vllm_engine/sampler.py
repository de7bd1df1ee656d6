"""The next token as the reference engine takes it, in vLLM's sampling: its logits are those that vLLM has made.

vLLM makes the object, in the process that holds the model, so that what rows ask for is found through this module.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import LogitsProcessor

from ...program.language import Sampling
from ..execution.sampling import sample

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.sample.logits_processor import BatchUpdate
    from vllm.v1.sample.logits_processor.interface import MoveDirectionality

#: The key of a request's extra arguments under which its number stands.
NUMBER = "interp_row"


@dataclass
class Choice:
    """How the tokens of one request are taken; `sound` says whether its logits were finite; they are put into `seen`, if
    that is there."""

    sampling: Sampling | None
    vocabulary: int
    sound: bool = True
    seen: list[Tensor] | None = None


#: What requests ask for, by number.
CHOICES: dict[int, Choice] = {}


class Sampler(LogitsProcessor):
    """Leaves greedy rows as they are; of others it leaves the drawn token alone."""

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
            number = (params.extra_args or {}).get(NUMBER)
            self._rows.pop(index, None)
            if number in CHOICES:
                self._rows[index] = CHOICES[number], output
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
        if not self._rows:
            return logits
        # A probability of 0 is a logit of -inf; +inf and nan are faults.
        sound = torch.isfinite(logits.amax(1)).tolist()
        for index, (choice, output) in self._rows.items():
            choice.sound = choice.sound and sound[index]
            own = logits[index, : choice.vocabulary]
            if choice.seen is not None:
                choice.seen.append(own.float().clone())
            if choice.sampling is not None and choice.sampling.temperature > 0 and choice.sound:
                token = sample(own.float(), choice.sampling, len(output))
                logits[index] = -torch.inf
                logits[index, token] = 0.0
        return logits
