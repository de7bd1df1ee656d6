"""Conditions on edits: where in a pass one holds, from a value that the pass has computed already."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from .batch import Pass, Places, Rows

_TINY = torch.finfo(torch.float32).tiny


@dataclass(eq=False)
class BoundWhen:
    """A condition bound to rows of a batch: `unit` [d] is the direction, `decided` what was found at the end of a row's
    prompt, `met` [batch, columns] where it holds in the present pass."""

    address: tuple[str, int]
    unit: Tensor
    threshold: float
    check: Literal["prefill", "token"]
    measure: Literal["coordinate", "cosine"]
    decided: dict[int, bool] = field(default_factory=dict)
    met: Tensor | None = None

    def look(self, value: Tensor, call: Pass, rows: Rows) -> None:
        """Take note of the value [batch, columns, d] at the condition's site in a pass."""
        exact = value.float()
        found = exact @ self.unit.to(value.device)
        if self.measure == "cosine":
            found = found / exact.norm(dim=-1).clamp_min(_TINY)
        above = found > self.threshold
        self.met = above if self.check == "token" else self._from_prompts(above, call, rows)

    def _from_prompts(self, above: Tensor, call: Pass, rows: Rows) -> Tensor:
        """Where rows are whose prompt ended above the threshold: from its last position on."""
        met = torch.zeros_like(above)
        for index, member in enumerate(call.members):
            last = rows[member].prompt_length - 1 - call.starts[index]
            found, known = call.of(index, above), call.of(index, met)
            if 0 <= last < len(found):
                self.decided[member] = bool(found[last])
            if self.decided.get(member, False):
                known[max(0, last) :] = True
        return met

    def among(self, places: Places) -> Places:
        """Those of some places where the condition holds."""
        assert self.met is not None
        held = self.met[places.at].cpu()
        return Places(places.rows[held], places.columns[held], places.members[held])
