"""The final norm and the head as vLLM holds them: its vocabulary is padded, and in a pipeline only the last stage has them.

The lens is decoded by all ranks, those of earlier stages included: each has its share of the vocabulary.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import RequestError
from ..arch import Arch
from ..ranks import Ranks
from ..readout import Readout
from .seam import head_of


def find_readout(model: Any, arch: Arch, stages: Any, ranks: Ranks) -> Readout:
    """The readout, on every rank. Raises RequestError when the head is quantised."""
    config = model.config.get_text_config()
    parts = _Head(model, arch, stages, ranks)
    weight = parts.shared("weight")
    assert weight is not None
    bias = parts.shared("bias")
    return Readout(
        norm=parts.norm(),
        weight=weight,
        bias=None if bias is None else bias.float(),
        scale=float(getattr(config, "logit_scale", None) or 1.0)
        / float(getattr(config, "logits_scaling", None) or 1.0),
        softcap=getattr(config, "final_logit_softcapping", None),
        vocabulary=arch.shapes.vocabulary,
        start=ranks.bounds(arch.shapes.vocabulary)[0],
        ranks=ranks,
    )


class _Head:
    """What the last stage has of the head."""

    def __init__(self, model: Any, arch: Arch, stages: Any, ranks: Ranks) -> None:
        self._head, self._arch, self._stages, self._ranks = head_of(model), arch, stages, ranks
        self._device = next(model.parameters()).device
        weight = getattr(self._head, "weight", None)
        if self._here and (weight is None or not weight.is_floating_point()):
            raise RequestError(
                f"the head of {type(model).__name__} is quantised, and a lens needs its weights; serve it whole"
            )

    @property
    def _here(self) -> bool:
        return bool(self._stages.number == self._stages.count - 1)

    def norm(self) -> nn.Module:
        """The final norm; where it is not, another of its kind with its parameters."""
        if self._stages.count == 1:
            return self._arch.norm
        made = self._arch.norm if self._here else deepcopy(self._another())
        for parameter in made.parameters():
            whole = self._spread(parameter.data if self._here else None)
            if not self._here:
                parameter.data = whole
        return made

    def _another(self) -> nn.Module:
        """A norm of the stream in a block of this stage."""
        width = (self._arch.shapes.d_model,)
        for block in self._arch.blocks:
            for module in block.children():
                sizes = [tuple(parameter.shape) for parameter in module.parameters()]
                if "norm" in type(module).__name__.lower() and sizes and all(size == width for size in sizes):
                    return module
        raise RequestError("no norm of the stream was found in a block to read the stream with; leave pp out")

    def shared(self, name: str) -> Tensor | None:
        """This rank's share of a parameter of the head, [vocabulary, ...] cut as all others cut it; None when there is none."""
        value = getattr(self._head, name, None) if self._here else None
        if self._stages.count == 1:
            return None if value is None else self._cut(value.detach())
        (there,) = self._spread(torch.tensor([value is not None]).long() if self._here else None).tolist()
        return self._cut(None if value is None else value.detach()) if there else None

    def _cut(self, rows: Tensor | None) -> Tensor:
        vocabulary = self._arch.shapes.vocabulary
        bounds = (0, 0)
        if rows is not None:
            indices = self._head.shard_indices
            bounds = (indices.org_vocab_start_index, min(vocabulary, indices.org_vocab_end_index))
            rows = rows[: bounds[1] - bounds[0]]
        if self._stages.count == 1 and bounds == self._ranks.bounds(vocabulary):
            assert rows is not None
            return rows
        first = self._stages.first_rank(self._stages.count - 1)
        owners = range(first, first + self._stages.ranks.size)
        parts = [
            self._ranks.spread(rows if self._ranks.rank == owner else None, owner, self._device) for owner in owners
        ]
        return self._ranks.share(torch.cat(parts), 0).clone()

    def _spread(self, value: Tensor | None) -> Tensor:
        first = self._stages.first_rank(self._stages.count - 1)
        return self._ranks.spread(value if self._ranks.rank == first else None, first, self._device)
