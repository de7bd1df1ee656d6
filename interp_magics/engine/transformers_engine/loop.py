"""The decoding loop: one prefill for a group of rows, then a step for all that go on; other groups join between two steps."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..arch import Arch
from ..execution.batch import BatchRow, Pass, step_pass
from ..execution.sampling import next_tokens
from ..execution.stopping import finish
from ..execution.tape import Tape
from ..protocol import Host, Wish
from ..ranks import ALONE, Ranks
from ..readout import Readout
from ..tokens import Tokens
from .cache import join, joinable, new_cache
from .prefill import Cut, Piece, pieces, whole

_CANCELLED = -1


class Work(Protocol):
    """Rows to be run to their end, and what is written and read meanwhile. Batch rows are numbers in `rows`."""

    @property
    def rows(self) -> Sequence[BatchRow]: ...

    @property
    def tape(self) -> Tape: ...

    @property
    def lends(self) -> bool:
        """Whether other work may run between two steps."""
        ...

    @property
    def joins(self) -> bool:
        """Whether rows may join now."""
        ...

    @property
    def most(self) -> int:
        """How many tokens a pass over prompts may have."""
        ...

    def passed(self, call: Pass) -> None:
        """Told of a forward call that is done."""
        ...

    def stepped(self) -> None:
        """Told that every row has its next token, or has ended."""
        ...

    def join(self) -> "Group | None":
        """Rows that the host adds now."""
        ...


@dataclass(frozen=True)
class Group:
    """Batch rows whose prompts are read together, and the cut of their prompts."""

    members: tuple[int, ...]
    cut: Cut | None = None


@dataclass
class _Flow:
    """The rows that go on: their keys and values, and which columns [rows, columns] of those are tokens."""

    members: list[int]
    cache: Any
    mask: Tensor

    def keep(self, kept: Sequence[int]) -> None:
        """Go on with some of the members alone."""
        if len(kept) < len(self.members):
            # On the host, since layers may lie on several devices.
            chosen = torch.tensor(kept, dtype=torch.long)
            if kept:
                self.cache.batch_select_indices(chosen)
            self.mask = self.mask[chosen.to(self.mask.device)]
            self.members = [self.members[i] for i in kept]

    def join(self, other: "_Flow") -> "_Flow":
        """Both, the newest tokens side by side; columns that hold no token of any row are let go."""
        if not (self.members and other.members):
            return self if self.members else other
        masks = [mask[:, int(mask.any(0).int().argmax()) :] for mask in (self.mask, other.mask)]
        lengths = (masks[0].shape[1], masks[1].shape[1])
        join(self.cache, other.cache, lengths)
        mask = torch.cat([pad(mask, (max(lengths) - mask.shape[1], 0)) for mask in masks])
        return _Flow([*self.members, *other.members], self.cache, mask)


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

    def run(self, work: Work, first: Group, host: Host) -> None:
        """Run a group of rows, and all that join it, to their end; what they generate is in `work.rows`, what was read is
        on the tape."""
        with torch.inference_mode(), ExitStack() as hooks:
            hooks.enter_context(work.tape.installed())
            flow, wish = self._start(work, first, host)
            while True:
                work.stepped()
                if wish is not Wish.GO_ON:
                    # Between two steps nothing of this run is in the model: another may have it.
                    hooks.close()
                    group = self._interrupt(work, wish, host)
                    hooks.enter_context(work.tape.installed())
                    if group:
                        waiting = bool(flow.members)
                        fresh, wish = self._start(work, group, host)
                        flow = flow.join(fresh)
                        # Those that were there take a step before more may join.
                        wish = Wish.GO_ON if waiting and wish is Wish.JOIN else wish
                        continue
                if not flow.members:
                    return
                wish = self._step(work, flow, host)

    def _interrupt(self, work: Work, wish: Wish, host: Host) -> Group | None:
        if wish is Wish.JOIN:
            return work.join()
        with torch.inference_mode(False):
            host.pause()
        return None

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
        return self._call(whole({i: row.encoded.ids for i, row in enumerate(rows)}, self.pad), tape, None)

    def _start(self, work: Work, group: Group, host: Host) -> tuple[_Flow, Wish]:
        """Read the prompts of a group and take the first tokens: the rows that go on, and what the host wants."""
        rows = [work.rows[m] for m in group.members]
        prompts = {m: row.encoded.ids for m, row in zip(group.members, rows, strict=True)}
        called = list(pieces(prompts, group.cut, self.pad, work.most))
        going = len(called) > 1 or any(row.sampling for row in rows)
        cache: Any = new_cache(self.model.config) if going else None
        for piece in called:
            if piece.spread is not None:
                cache.batch_select_indices(torch.tensor(piece.spread))
            hidden = self._call(piece, work.tape, cache)[:, -1]
            work.passed(piece.call)
        flow = _Flow(list(group.members), cache, torch.from_numpy(piece.mask).to(self.device))
        return flow, self._advance(work, flow, hidden, host)

    def _call(self, piece: Piece, tape: Tape, cache: Any) -> Tensor:
        ids, positions, mask = (
            torch.from_numpy(array).to(self.device) for array in (piece.ids, piece.call.positions(), piece.mask)
        )
        return self._decode(ids, None if bool(piece.mask.all()) else mask, positions, cache, tape, piece.call)

    def _step(self, work: Work, flow: _Flow, host: Host) -> Wish:
        """Feed the newest token of every row and take the next; what the host wants."""
        flow.mask = torch.cat([flow.mask, flow.mask.new_ones(len(flow.members), 1)], 1)
        call = step_pass(work.rows, flow.members)
        ids = torch.tensor([[work.rows[m].completion[-1]] for m in flow.members], device=self.device)
        positions = torch.tensor(call.starts, device=self.device).unsqueeze(1)
        mask = None if bool(flow.mask.all()) else flow.mask
        hidden = self._decode(ids, mask, positions, flow.cache, work.tape, call)[:, -1]
        work.passed(call)
        return self._advance(work, flow, hidden, host)

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
        return hidden.to(self.readout.weight.device)

    def _advance(self, work: Work, flow: _Flow, hidden: Tensor, host: Host) -> Wish:
        """Give every row its next token, and keep those that go on. Rank 0 decides, and says what the host wants."""
        live = [i for i, m in enumerate(flow.members) if work.rows[m].sampling]
        if not live:
            flow.keep(live)
            return Wish.GO_ON
        taking = [work.rows[flow.members[i]] for i in live]
        cancelled = [host.cancelled(row.task) for row in taking]
        logits = self.readout.logits(hidden[live])
        finite = _finite(hidden[live], logits)
        samplings = [row.sampling for row in taking if row.sampling]
        chosen = next_tokens(logits, samplings, [len(r.completion) for r in taking]) if self.ranks.first else cancelled
        next_ones = [_CANCELLED if c else t for c, t in zip(cancelled, chosen, strict=True)]
        wish = host.wish(work.joins and self._joins(flow.cache)) if work.lends else Wish.GO_ON
        wished, *told = self.ranks.tell([int(wish), *next_ones])
        for row, token, sound in zip(taking, told, finite, strict=True):
            if token == _CANCELLED or not sound:
                row.finish = "cancelled" if token == _CANCELLED else "overflow"
                continue
            row.completion.append(token)
            row.finish = finish(row, self.tokens, self.stop_ids)
            host.generated(row.task, row.row, row.completion)
        flow.keep([i for i in live if not work.rows[flow.members[i]].finish])
        return Wish(wished)

    def _joins(self, cache: Any) -> bool:
        """Whether rows may join. Not where the angles of a row depend on the longest one beside it."""
        rope = getattr(self.model.config.get_text_config(), "rope_parameters", None) or {}
        return joinable(cache) and rope.get("rope_type") not in ("longrope", "dynamic")


def _finite(hidden: Tensor, logits: Tensor) -> list[bool]:
    """For each row whether its next token can be told: what the head read is finite, and no logit is +inf or nan.

    A logit of -inf is a probability of 0.
    """
    sound: list[bool] = (torch.isfinite(hidden).all(1) & torch.isfinite(logits.amax(1))).tolist()
    return sound
