"""Conditions that one stage of a pipeline finds and another edits by: where they hold goes ahead with the pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..ranks import Posted, Ranks
from .batch import Address, Pass
from .conditions import BoundWhen


@dataclass(frozen=True)
class Stages:
    """Which of `all` ranks owns what is read at an address, in a pipeline; `device` is where this process computes."""

    all: Ranks
    owner: Callable[[Address], int]
    device: torch.device


class Crossing:
    """Sends what was found in this stage after its part of a pass, and takes what others found before it begins; all stages know
    the same edits in the same order."""

    def __init__(self, stages: Stages, ranks: Ranks) -> None:
        """`ranks` are those of this stage: each speaks with the one in its place in another."""
        self._stages, self._place = stages, ranks.rank
        self._here = stages.all.rank - ranks.rank
        self._posted: list[Posted] = []

    def take(self, conditional: Sequence[tuple[Address, BoundWhen]], call: Pass) -> None:
        """Take what other stages have found in this pass."""
        for when, origin, goal in self._crossing(conditional):
            if goal == self._here:
                when.met = self._stages.all.fetch(_nowhere(call), origin + self._place).bool()

    def send(self, conditional: Sequence[tuple[Address, BoundWhen]], call: Pass) -> None:
        """Send what was found in this stage."""
        for posted in self._posted:
            posted.wait()
        self._posted = [
            self._stages.all.post(_found(when, call), goal + self._place)
            for when, origin, goal in self._crossing(conditional)
            if origin == self._here
        ]

    def _crossing(self, conditional: Sequence[tuple[Address, BoundWhen]]) -> list[tuple[BoundWhen, int, int]]:
        """Conditions that are found in one stage, and used in another."""
        ways = [(when, self._stages.owner(when.address), self._stages.owner(address)) for address, when in conditional]
        return [(when, origin, goal) for when, origin, goal in ways if origin != goal]


def _nowhere(call: Pass) -> torch.Tensor:
    return torch.zeros(1 + max(call.rows), call.width, dtype=torch.uint8)


def _found(when: BoundWhen, call: Pass) -> torch.Tensor:
    """Where a condition holds; nowhere if the pass ended before it was looked at."""
    if when.met is None:
        return _nowhere(call)
    return when.met[:, : call.width].to("cpu", torch.uint8).contiguous()
