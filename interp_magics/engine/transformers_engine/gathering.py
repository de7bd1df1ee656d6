"""Which tasks run together in one batch."""

from collections.abc import Iterator, Sequence
from enum import Enum, auto

from ...program.language import Program
from ...program.operations import Copy
from ..execution.plan import BoundStage, clean_length, generated
from ..execution.running import Running
from ..tokens import Encoded, Tokens
from .prefill import best_cut


class Kind(Enum):
    """How a batch runs. Rows that read attention patterns need eager attention; rows that are differentiated hold their
    graph; rows of a sweep share the beginnings of their prompts."""

    PLAIN = auto()
    SHARING = auto()
    PATTERNS = auto()
    GRADIENTS = auto()


#: Rows of a batch, and rows times padded width; more tasks than fit run one batch after another.
_ROOM = {
    Kind.PLAIN: (64, 16384),
    Kind.SHARING: (256, 65536),
    Kind.PATTERNS: (64, 16384),
    Kind.GRADIENTS: (64, 4096),
}


def kind_of(one: Running, plan: BoundStage) -> Kind:
    """How the batch of a task's stage runs."""
    if one.asked.gradients:
        return Kind.GRADIENTS
    if any(tap.site == "attn_pattern" for tap in one.asked.taps):
        return Kind.PATTERNS
    copies = any(isinstance(edit.op, Copy) for edit in one.asked.edits)
    alone = len(plan.rows) < 2 or copies
    return Kind.PLAIN if alone or best_cut(*beginnings([(one, plan)])) is None else Kind.SHARING


def beginnings(batch: Sequence[tuple[Running, BoundStage]]) -> tuple[list[tuple[int, ...]], list[int]]:
    """The prompt of every row of a batch, and how much of it no edit touches."""
    rows = [(one.encoded[row].ids, plan, row) for one, plan in batch for row in plan.rows]
    return [ids for ids, _, _ in rows], [clean_length(plan, row, len(ids)) for ids, plan, row in rows]


def joins(program: Program) -> bool:
    """Whether a program's rows may join a batch that runs: a step like any other is all that they need."""
    (stage, *more) = program.stages
    patterns = any(tap.site == "attn_pattern" for tap in stage.taps)
    return not more and not stage.gradients and not patterns and any(row.sampling for row in program.rows)


def width(encoded: Sequence[Encoded], program: Program) -> int:
    """The most tokens that a row of a program comes to."""
    return max(len(e.ids) + generated(r) for e, r in zip(encoded, program.rows, strict=True))


class Room:
    """What a batch that runs can still take in: `rows` go on in it, the widest of them comes to `widest` tokens."""

    def __init__(self, rows: int, widest: int, tokens: Tokens) -> None:
        self._rows, self._widest, self._tokens = rows, widest, tokens

    def take(self, programs: Sequence[Program]) -> bool:
        """Whether the programs may join together; if so, their room is taken."""
        most_rows, most_tokens = _ROOM[Kind.PLAIN]
        if not all(joins(program) for program in programs):
            return False
        rows = self._rows + sum(len(program.rows) for program in programs)
        encoded = [[self._tokens.encode(row.text) for row in program.rows] for program in programs]
        widest = max((self._widest, *map(width, encoded, programs)))
        if rows > most_rows or rows * widest > most_tokens:
            return False
        self._rows, self._widest = rows, widest
        return True


def batches(bound: list[tuple[Running, BoundStage]]) -> Iterator[list[tuple[Running, BoundStage]]]:
    """Tasks that fit one batch together; apart are those that a batch treats differently. Plain ones, which others may
    join, come last."""
    kinds = [kind_of(*pair) for pair in bound]
    for kind in reversed(Kind):
        batch: list[tuple[Running, BoundStage]] = []
        rows = tokens = 0
        alike = [pair for pair, its in zip(bound, kinds, strict=True) if its is kind]
        most_rows, most_tokens = _ROOM[kind]
        for one, plan in sorted(alike, key=lambda pair: width(pair[0].encoded, pair[0].program)):
            mine = width(one.encoded, one.program)
            grown, wide = rows + len(plan.rows), max(tokens, mine)
            if batch and (grown > most_rows or grown * wide > most_tokens):
                yield batch
                batch, grown, wide = [], len(plan.rows), mine
            batch.append((one, plan))
            rows, tokens = grown, wide
        if batch:
            yield batch
