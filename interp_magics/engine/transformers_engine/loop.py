"""The decoding loop: one prefill for all rows of a batch, then a step for all that go on."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arch import Arch
from ..protocol import Host
from ..ranks import ALONE, Ranks
from ..readout import Readout
from ..tokens import Tokens
from .batch import BatchRow, Pass, padded_ids, prefill_pass, step_pass
from .cache import new_cache
from .sampling import next_tokens
from .tape import Tape

_CANCELLED = -1


@dataclass(frozen=True)
class Runner:
    """A model as the loop sees it: its trunk without the head, its readout, and the tokens that end a completion."""

    model: Any
    arch: Arch
    readout: Readout
    tokens: Tokens
    stop_ids: frozenset[int]
    pad: int
    device: torch.device
    ranks: Ranks = ALONE

    def run(self, rows: Sequence[BatchRow], tape: Tape, host: Host) -> None:
        """Run all rows to their end; what they generate is in `rows`, what was read is on the tape."""
        with torch.inference_mode(), ExitStack() as hooks:
            hooks.enter_context(tape.installed())
            members = list(range(len(rows)))
            call = prefill_pass(rows)
            going = any(row.sampling for row in rows)
            hidden, cache = self._prefill(rows, call, tape, going)
            mask = self._mask(call)
            while True:
                kept, waiting = self._advance(rows, members, hidden, host)
                if not kept:
                    return
                if waiting:
                    # Between two steps nothing of this run is in the model: another may have it.
                    hooks.close()
                    with torch.inference_mode(False):
                        host.pause()
                    hooks.enter_context(tape.installed())
                if len(kept) < len(members):
                    chosen = torch.tensor(kept, device=self.device)
                    cache.batch_select_indices(chosen)
                    mask = mask[chosen]
                members = [members[i] for i in kept]
                mask = torch.cat([mask, mask.new_ones(len(members), 1)], 1)
                hidden, cache = self._step(rows, members, mask, tape, cache)

    @contextmanager
    def attention(self, eager: bool) -> Iterator[None]:
        """Attention that returns its patterns while `eager`, else the model's own."""
        if not eager:
            yield
            return
        usual = self.model.config.get_text_config()._attn_implementation
        self.model.set_attn_implementation("eager")
        try:
            yield
        finally:
            self.model.set_attn_implementation(usual)

    def forward(self, rows: Sequence[BatchRow], call: Pass, tape: Tape) -> Tensor:
        """The last norm's output [rows, columns, d] of one pass over all prompts, with a graph if that is wanted."""
        ids = torch.from_numpy(padded_ids(rows, call.width, self.pad)).to(self.device)
        mask = self._mask(call)
        positions = (mask.cumsum(1) - 1).clamp_min(0)
        output = self._decode(ids, mask if any(call.pads) else None, positions, None, False, tape, call)
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _prefill(self, rows: Sequence[BatchRow], call: Pass, tape: Tape, going: bool) -> tuple[Tensor, Any]:
        ids = torch.from_numpy(padded_ids(rows, call.width, self.pad)).to(self.device)
        mask = self._mask(call)
        positions = (mask.cumsum(1) - 1).clamp_min(0)
        cache = new_cache(self.model.config) if going else None
        return self._forward(ids, mask if any(call.pads) else None, positions, cache, going, tape, call)

    def _step(
        self, rows: Sequence[BatchRow], members: list[int], mask: Tensor, tape: Tape, cache: Any
    ) -> tuple[Tensor, Any]:
        call = step_pass(rows, members)
        ids = torch.tensor([[rows[m].completion[-1]] for m in members], device=self.device)
        positions = torch.tensor(call.starts, device=self.device).unsqueeze(1)
        padded = None if bool(mask.all()) else mask
        return self._forward(ids, padded, positions, cache, True, tape, call)

    def _forward(
        self, ids: Tensor, mask: Tensor | None, positions: Tensor, cache: Any, going: bool, tape: Tape, call: Pass
    ) -> tuple[Tensor, Any]:
        output = self._decode(ids, mask, positions, cache, going, tape, call)
        return output.last_hidden_state[:, -1], getattr(output, "past_key_values", None)

    def _decode(
        self, ids: Tensor, mask: Tensor | None, positions: Tensor, cache: Any, going: bool, tape: Tape, call: Pass
    ) -> Any:
        arguments: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "use_cache": going}
        if "position_ids" in inspect.signature(self.arch.decoder.forward).parameters:
            arguments["position_ids"] = positions
        if cache is not None:
            arguments["past_key_values"] = cache
        with tape.during(call):
            return self.arch.decoder(**arguments)

    def _mask(self, call: Pass) -> Tensor:
        columns = np.arange(call.width)[None, :]
        real = columns >= np.array(call.pads)[:, None]
        return torch.from_numpy(real.astype(np.int64)).to(self.device)

    def _advance(
        self, rows: Sequence[BatchRow], members: list[int], hidden: Tensor, host: Host
    ) -> tuple[list[int], bool]:
        """Give every member its next token; the places among `members` of those that go on, and whether other work waits.

        Rank 0 decides.
        """
        live = [i for i, m in enumerate(members) if rows[m].sampling]
        if not live:
            return [], False
        taking = [rows[members[i]] for i in live]
        cancelled = [host.cancelled(row.task) for row in taking]
        logits = self.readout.logits(hidden[live])
        finite = torch.isfinite(logits).all(1).tolist()
        samplings = [row.sampling for row in taking if row.sampling]
        chosen = next_tokens(logits, samplings, [len(r.completion) for r in taking]) if self.ranks.first else cancelled
        next_ones = [_CANCELLED if c else t for c, t in zip(cancelled, chosen, strict=True)]
        waiting, *told = self.ranks.tell([int(host.waiting()), *next_ones])
        for row, token, sound in zip(taking, told, finite, strict=True):
            if token == _CANCELLED or not sound:
                row.finish = "cancelled" if token == _CANCELLED else "overflow"
                continue
            row.completion.append(token)
            row.finish = self._finish(row)
            host.generated(row.task, row.row, row.completion)
        return [i for i in live if not rows[members[i]].finish], bool(waiting)

    def _finish(self, row: BatchRow) -> str:
        """Why a row ends after its newest token, or "" when it goes on."""
        sampling = row.sampling
        assert sampling is not None
        if sampling.forced is not None:
            return "length" if len(row.completion) >= len(sampling.forced) else ""
        if row.completion[-1] in self.stop_ids:
            return "stop"
        if sampling.stop and any(s in self.tokens.decode(row.completion) for s in sampling.stop):
            return "stop"
        return "length" if len(row.completion) >= sampling.max_new_tokens else ""
