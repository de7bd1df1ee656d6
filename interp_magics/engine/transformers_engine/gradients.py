"""Derivatives of metrics by the values at taps: one forward pass for all that freeze alike, one backward pass for each.

The head is differentiated in closed form (`cotangents`); the trunk by autograd, from the last norm's output down to the
nodes that the tape put in. Rows are independent, so the derivative of the sum of their metrics is each row's own.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...program.language import Divergence, Dot, LogitDifference, LogProbability, Loss
from .. import cotangents
from ..cotangents import Cotangent
from ..execution.batch import Address, BatchRow, Pass
from ..execution.plan import BoundGradient, BoundTap, Kept, canonical, chosen_positions
from ..execution.records import Record
from ..execution.reduce import finish, read
from ..execution.tape import Tape
from ..protocol import GradientReading
from ..readout import Readout
from .frozen import frozen
from .loop import Runner
from .spared import spared


@dataclass(frozen=True)
class Wanted:
    """A gradient of one program: the batch row of each of its rows, and what its earlier stages kept."""

    bound: BoundGradient
    place: Mapping[int, int]
    kept: Mapping[str, Kept]


@dataclass(frozen=True)
class _Target:
    """What is differentiated, the derivative of the rows' metrics by it, and the metrics."""

    node: Tensor
    slope: Tensor
    metric: tuple[float, ...]


class Differentiated:
    """One pass of a batch with a graph, and the gradients that are taken through it. `sparing` memory takes a pass more."""

    def __init__(self, runner: Runner, rows: Sequence[BatchRow], tape: Tape, call: Pass, sparing: bool) -> None:
        self._runner, self._rows, self._tape, self._call = runner, rows, tape, call
        self._sparing = sparing

    def run(self, gradients: Sequence[Wanted]) -> list[GradientReading]:
        """Readings in the order of `gradients`, which must all freeze alike."""
        nodes = self._tape.differentiate(sorted({address for one in gradients for address in one.bound.addresses}))
        freeze = gradients[0].bound.gradient.freeze
        with ExitStack() as stack:
            stack.enter_context(torch.enable_grad())
            stack.enter_context(frozen(self._runner.model, self._runner.arch.decoder, freeze))
            if self._sparing:
                stack.enter_context(spared(self._runner.arch.blocks))
            stack.enter_context(self._tape.installed())
            hidden = self._runner.forward(self._rows, self._tape)
            last = len(gradients) - 1
            return [
                self._read(one, self._target(one, hidden, nodes), nodes, i < last) for i, one in enumerate(gradients)
            ]

    def _read(self, one: Wanted, target: _Target, nodes: Mapping[Address, Tensor], more: bool) -> GradientReading:
        taps = one.bound.taps
        wanted = sorted({canonical(tap.tap.site, layer) for tap in taps for layer in tap.layers})
        inputs = [nodes[address] for address in wanted]
        found = torch.autograd.grad(target.node, inputs, target.slope, retain_graph=more, allow_unused=True)
        slopes = {a: torch.zeros_like(nodes[a]) if g is None else g for a, g in zip(wanted, found, strict=True)}
        with torch.no_grad():
            readings = tuple(read(tap, self._values(tap, one, slopes), self._runner.readout) for tap in taps)
        return GradientReading(tuple(one.place), target.metric, readings)

    def _values(self, tap: BoundTap, one: Wanted, slopes: Mapping[Address, Tensor]) -> "_Slopes":
        records = {}
        for address in {canonical(tap.tap.site, layer) for layer in tap.layers}:
            records[address] = Record(self._tape.width(address), self._runner.ranks)
            records[address].add(self._call, self._tape.as_site(address, slopes[address]))
        positions = {row: chosen_positions(tap.selections[row], self._rows[one.place[row]]) for row in tap.rows}
        return _Slopes(tap, records, one.place, positions, self._runner.readout)

    def _target(self, one: Wanted, hidden: Tensor, nodes: Mapping[Address, Tensor]) -> _Target:
        metric = one.bound.gradient.metric
        with torch.no_grad():
            return self._dot(one, metric, nodes) if isinstance(metric, Dot) else self._predicted(one, metric, hidden)

    def _predicted(self, one: Wanted, metric: Any, hidden: Tensor) -> _Target:
        slope, values = torch.zeros_like(hidden), []
        for number, member in one.place.items():
            pad = self._call.columns[member]
            here = self._cotangent(metric, number, hidden[member, pad:], self._rows[member], one.kept)
            slope[member, pad:] = here.gradient.to(slope.dtype)
            values.append(here.value)
        return _Target(hidden, slope, tuple(values))

    def _cotangent(
        self, metric: Any, number: int, normed: Tensor, row: BatchRow, kept: Mapping[str, Kept]
    ) -> Cotangent:
        readout = self._runner.readout
        if isinstance(metric, LogitDifference):
            return cotangents.logit_difference(normed, metric.target, metric.foil, readout)
        if isinstance(metric, LogProbability):
            return cotangents.log_probability(normed, metric.target, readout)
        if isinstance(metric, Loss):
            return cotangents.loss(normed, row.encoded.ids, readout)
        assert isinstance(metric, Divergence)
        other = kept[metric.kept].whole(number, len(normed))
        return cotangents.divergence(normed, other.to(normed.device), readout)

    def _dot(self, one: Wanted, metric: Dot, nodes: Mapping[Address, Tensor]) -> _Target:
        """The sum of value . vector over positions; of a site that the ranks share, each adds its part."""
        address = canonical(metric.site, metric.layer)
        slope, values = torch.zeros_like(nodes[address]), []
        seen, written = (self._tape.as_site(address, each) for each in (nodes[address].detach(), slope))
        width, ranks = self._tape.width(address), self._runner.ranks
        shared = seen.shape[2] < width
        assert one.bound.vector is not None
        for number, member in one.place.items():
            positions = chosen_positions(one.bound.selections[number], self._rows[member])
            columns = torch.tensor(positions, dtype=torch.long) + self._call.columns[member]
            vector = one.bound.vector.to(slope.device).expand(len(columns), width, *seen.shape[3:])
            part = ranks.share(vector, 1) if shared else vector
            written[member, columns] = part.to(written.dtype)
            value = (seen[member, columns].float() * part).sum()
            values.append(float(ranks.total(value) if shared else value))
        return _Target(nodes[address], slope, tuple(values))


@dataclass(frozen=True)
class _Slopes:
    """Derivatives of one tap, cut into program rows as values are."""

    tap: BoundTap
    records: Mapping[Address, Record]
    place: Mapping[int, int]
    positions: dict[int, tuple[int, ...]]
    readout: Readout

    def at(self, layer: int, row: int) -> Tensor:
        values = self.records[canonical(self.tap.tap.site, layer)].row(self.place[row])
        return finish(values[list(self.positions[row])], self.tap.tap, self.readout)
