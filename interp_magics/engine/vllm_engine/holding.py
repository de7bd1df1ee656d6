"""What programs hold while they run: no more of them run at once than there is memory for."""

from collections.abc import Callable, Sequence
from math import prod

import torch

from ...program.cards import ModelCard
from ...program.language import Lens, Program, Stage, Tap
from ..execution.plan import generated
from ..execution.reading import WAITING

#: Rows that are under way or wait for pages.
MOST_ROWS = 1024
#: Bytes of values on a host without GPUs, and the share of what is free beside the pages on one with.
_HOST_BYTES, _SHARE = 8 << 30, 0.5
#: Tokens of each row of a program.
Lengths = Callable[[Program], Sequence[int]]


def budget() -> int:
    """Bytes that values may take, once the pages have theirs."""
    if not torch.cuda.is_available():
        return _HOST_BYTES
    return int(_SHARE * torch.cuda.mem_get_info()[0])


def held_bytes(program: Program, lengths: Sequence[int], card: ModelCard) -> int:
    """The most that a stage of a program holds of what it reads; its rows have `lengths` tokens in their prompts."""
    tokens = [length + generated(row) for length, row in zip(lengths, program.rows, strict=True)]
    return max((_held(stage, tokens, card) for stage in program.stages), default=0)


def _held(stage: Stage, tokens: Sequence[int], card: ModelCard) -> int:
    taking = range(len(tokens)) if stage.rows is None else stage.rows
    each: int = getattr(torch, card.dtype).itemsize
    return each * sum(_values(tap, [tokens[row] for row in taking], card) for tap in stage.taps)


def _values(tap: Tap, tokens: Sequence[int], card: ModelCard) -> int:
    """Numbers that are held for a tap; a lens is decoded a stretch at a time."""
    info = card.sites[tap.site if tap.site != "logits" else "ln_final"]
    layers = info.layers if tap.layers is None else len(tap.layers)
    most = WAITING if isinstance(tap.reduce, Lens) and not tap.keep else sum(tokens)
    return layers * prod(info.shape) * min(sum(tokens), most)


class Room:
    """What a flight can still take in, that has some rows and holds some bytes of `most`."""

    def __init__(self, rows: int, held: int, most: int, card: ModelCard, lengths: Lengths) -> None:
        self._rows, self._held, self._most = rows, held, most
        self._card, self._lengths = card, lengths

    def take(self, programs: Sequence[Program]) -> bool:
        """Whether the programs may join together; if so, their room is taken. What holds more than there is joins nobody, and
        runs when it is alone."""
        rows = self._rows + sum(len(program.rows) for program in programs)
        held = self._held + sum(held_bytes(one, self._lengths(one), self._card) for one in programs)
        if rows > MOST_ROWS or held > self._most:
            return False
        self._rows, self._held = rows, held
        return True
