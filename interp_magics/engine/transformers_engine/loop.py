"""The decoding loop: one prefill for all rows of a batch, then a step for all that go on."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..arch import Arch
from ..protocol import Host
from ..ranks import ALONE, Ranks
from ..readout import Readout
from ..tokens import Tokens
from .batch import BatchRow, Pass, step_pass
from .cache import new_cache
from .prefill import PASS_TOKENS, Cut, Piece, pieces, whole
from .sampling import next_tokens
from .tape import Tape

_CANCELLED = -1

#: Told of a forward call that is done.
Passed = Callable[[Pass], None]


def _ignore(call: Pass) -> None:
    return None


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

    def run(
        self,
        rows: Sequence[BatchRow],
        tape: Tape,
        host: Host,
        passed: Passed = _ignore,
        cut: Cut | None = None,
        most: int = PASS_TOKENS,
    ) -> None:
        """Run all rows to their end; what they generate is in `rows`, what was read is on the tape.

        `passed` is told of every forward call once it is done; prompts are read at most `most` tokens at a time.
        """
        with torch.inference_mode(), ExitStack() as hooks:
            hooks.enter_context(tape.installed())
            members = list(range(len(rows)))
            hidden, cache, mask = self._prefill(rows, tape, passed, cut, most)
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
                hidden = self._step(rows, members, mask, tape, cache, passed)

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

    def forward(self, rows: Sequence[BatchRow], tape: Tape) -> Tensor:
        """The last norm's output [rows, columns, d] of one pass over all prompts, with a graph if that is wanted."""
        return self._call(whole(rows, self.pad), tape, None)

    def _prefill(
        self, rows: Sequence[BatchRow], tape: Tape, passed: Passed, cut: Cut | None, most: int
    ) -> tuple[Tensor, Any, Tensor]:
        """Read all prompts: what the head reads at the end of each, the cache, and which of its columns are tokens."""
        called = list(pieces(rows, cut, self.pad, most))
        going = len(called) > 1 or any(row.sampling for row in rows)
        cache: Any = new_cache(self.model.config) if going else None
        for piece in called:
            if piece.spread is not None:
                cache.batch_select_indices(torch.tensor(piece.spread, device=self.device))
            hidden = self._call(piece, tape, cache)[:, -1]
            passed(piece.call)
        return hidden, cache, torch.from_numpy(piece.mask).to(self.device)

    def _call(self, piece: Piece, tape: Tape, cache: Any) -> Tensor:
        ids, positions, mask = (
            torch.from_numpy(array).to(self.device) for array in (piece.ids, piece.call.positions(), piece.mask)
        )
        return self._decode(ids, None if bool(piece.mask.all()) else mask, positions, cache, tape, piece.call)

    def _step(
        self, rows: Sequence[BatchRow], members: list[int], mask: Tensor, tape: Tape, cache: Any, passed: Passed
    ) -> Tensor:
        call = step_pass(rows, members)
        ids = torch.tensor([[rows[m].completion[-1]] for m in members], device=self.device)
        positions = torch.tensor(call.starts, device=self.device).unsqueeze(1)
        hidden = self._decode(ids, None if bool(mask.all()) else mask, positions, cache, tape, call)[:, -1]
        passed(call)
        return hidden

    def _decode(
        self, ids: Tensor, mask: Tensor | None, positions: Tensor, cache: Any, tape: Tape, call: Pass
    ) -> Tensor:
        arguments: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "use_cache": cache is not None}
        if "position_ids" in inspect.signature(self.arch.decoder.forward).parameters:
            arguments["position_ids"] = positions
        if cache is not None:
            arguments["past_key_values"] = cache
        with tape.during(call):
            hidden: Tensor = self.arch.decoder(**arguments).last_hidden_state
        return hidden

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
        finite = _finite(hidden[live], logits)
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


def _finite(hidden: Tensor, logits: Tensor) -> list[bool]:
    """For each row whether its next token can be told: what the head read is finite, and no logit is +inf or nan.

    A logit of -inf is a probability of 0.
    """
    sound: list[bool] = (torch.isfinite(hidden).all(1) & torch.isfinite(logits.amax(1))).tolist()
    return sound
