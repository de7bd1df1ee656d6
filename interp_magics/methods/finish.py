"""What the runs of all methods share: rows out of outcomes, token texts, provenance."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import ml_dtypes
import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.files import Array
from ..data.provenance import Provenance
from ..engine.protocol import Engine, Outcome, Reading, RowOutcome, RowValues
from ..engine.tokens import Tokens
from ..program.handles import Handle
from .requests import Request


@dataclass(frozen=True)
class FinishedRow:
    """One row of a call: how it ended, for each tap its positions and values, the handle under which it is kept, and
    whether it was answered from kept rows."""

    outcome: RowOutcome
    positions: tuple[tuple[int, ...], ...]
    values: tuple[RowValues, ...]
    handle: Handle | None = None
    reread: bool = False

    def completion(self, tokens: Tokens) -> str:
        return tokens.decode(self.outcome.completion_ids)


def finished_rows(outcomes: Sequence[Outcome]) -> list[FinishedRow]:
    """The rows of single-stage programs, in order."""
    made = []
    for outcome in outcomes:
        readings: tuple[Reading, ...] = outcome.readings[-1] if outcome.readings else ()
        for number, row in enumerate(outcome.rows):
            made.append(
                FinishedRow(
                    row,
                    tuple(r.positions[number] for r in readings),
                    tuple(r.values[number] for r in readings),
                    outcome.handles[number] if outcome.handles else None,
                    outcome.reread,
                )
            )
    return made


def numbers(values: RowValues, name: str) -> npt.NDArray[np.float64]:
    """What a tap that decodes nothing read of a row, under one of its names."""
    assert isinstance(values, Mapping)
    return np.asarray(values[name].double().numpy())


def to_numpy(tensor: Tensor) -> Array:
    """A CPU tensor as numpy; bfloat16 through ml_dtypes."""
    if tensor.dtype != torch.bfloat16:
        return np.asarray(tensor.numpy())
    return np.asarray(tensor.contiguous().view(torch.uint16).numpy()).view(ml_dtypes.bfloat16)


def int32(values: Iterable[int]) -> npt.NDArray[np.int32]:
    """Integers as an int32 array."""
    return np.fromiter(values, np.int32)


def provenance(request: Request, engine: Engine, kept: bool = False) -> Provenance:
    """What made a result, from the card and the request; `kept`: answered from kept rows, without a pass."""
    card = engine.card
    return Provenance(
        model=card.name,
        revision=card.revision,
        digest=card.digest,
        tokenizer=card.tokenizer,
        dtype=card.dtype,
        engine=card.engine,
        request=msgspec.to_builtins(request),
        versions=dict(card.versions),
        kept=kept,
    )
