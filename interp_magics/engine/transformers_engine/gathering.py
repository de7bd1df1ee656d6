"""Which tasks run together in one batch."""

from collections.abc import Iterator, Sequence
from enum import Enum, auto

from ...program.language import Copy
from .plan import BoundStage, clean_length, generated
from .prefill import best_cut
from .running import Running


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


def kind_of(one: Running, plan: BoundStage, stage: int) -> Kind:
    """How the batch of a task's stage runs."""
    asked = one.program.stages[stage]
    if asked.gradients:
        return Kind.GRADIENTS
    if any(tap.site == "attn_pattern" for tap in asked.taps):
        return Kind.PATTERNS
    copies = any(isinstance(edit.op, Copy) for edit in asked.edits)
    alone = len(plan.rows) < 2 or copies
    return Kind.PLAIN if alone or best_cut(*beginnings([(one, plan)])) is None else Kind.SHARING


def beginnings(batch: Sequence[tuple[Running, BoundStage]]) -> tuple[list[tuple[int, ...]], list[int]]:
    """The prompt of every row of a batch, and how much of it no edit touches."""
    rows = [(one.encoded[row].ids, plan, row) for one, plan in batch for row in plan.rows]
    return [ids for ids, _, _ in rows], [clean_length(plan, row, len(ids)) for ids, plan, row in rows]


def _width(one: Running) -> int:
    return max(len(e.ids) + generated(r) for e, r in zip(one.encoded, one.program.rows, strict=True))


def batches(bound: list[tuple[Running, BoundStage]], stage: int) -> Iterator[list[tuple[Running, BoundStage]]]:
    """Tasks that fit one batch together; apart are those that a batch treats differently."""
    kinds = [kind_of(*pair, stage) for pair in bound]
    for kind in Kind:
        batch: list[tuple[Running, BoundStage]] = []
        rows = width = 0
        alike = [pair for pair, its in zip(bound, kinds, strict=True) if its is kind]
        most_rows, most_tokens = _ROOM[kind]
        for one, plan in sorted(alike, key=lambda pair: _width(pair[0])):
            grown, wide = rows + len(plan.rows), max(width, _width(one))
            if batch and (grown > most_rows or grown * wide > most_tokens):
                yield batch
                batch, grown, wide = [], len(plan.rows), _width(one)
            batch.append((one, plan))
            rows, width = grown, wide
        if batch:
            yield batch
