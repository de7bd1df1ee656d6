"""Derivatives of metrics by the values at taps: one forward pass for all that freeze alike, one backward pass for each.

The head is differentiated in closed form (`cotangents`); the trunk by autograd, from the last norm's output down to the
nodes that the tape put in. Rows are independent, so the derivative of the sum of their metrics is each row's own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...program.language import Divergence, Dot, LogitDifference, LogProbability, Loss
from .. import cotangents
from ..cotangents import Cotangent
from ..protocol import GradientReading
from .batch import BatchRow, Pass
from .frozen import frozen
from .loop import Runner
from .plan import BoundGradient, BoundTap, Kept, canonical, chosen_positions
from .reduce import finish, read
from .tape import Address, Record, Tape


class Differentiated:
    """One pass of a batch with a graph, and the gradients that are taken through it."""

    def __init__(self, runner: Runner, rows: Sequence[BatchRow], tape: Tape, call: Pass) -> None:
        self._runner, self._rows, self._tape, self._call = runner, rows, tape, call

    def run(
        self, gradients: Sequence[tuple[BoundGradient, Mapping[int, int], Mapping[str, Kept]]]
    ) -> list[GradientReading]:
        """Readings in the order of `gradients`, each given with the batch rows of its program's rows and what that kept.

        All must freeze alike.
        """
        addresses = {address for gradient, _, _ in gradients for address in gradient.addresses}
        nodes = self._tape.differentiate(sorted(addresses))
        freeze = gradients[0][0].gradient.freeze
        with torch.enable_grad(), frozen(self._runner.model, self._runner.arch.decoder, freeze), self._tape.installed():
            hidden = self._runner.forward(self._rows, self._call, self._tape)
            made = []
            for number, (gradient, place, kept) in enumerate(gradients):
                more = number + 1 < len(gradients)
                made.append(self._one(gradient, place, kept, hidden, nodes, more))
        return made

    def _one(
        self,
        gradient: BoundGradient,
        place: Mapping[int, int],
        kept: Mapping[str, Kept],
        hidden: Tensor,
        nodes: Mapping[Address, Tensor],
        more: bool,
    ) -> GradientReading:
        target, slope, values = self._target(gradient, place, kept, hidden, nodes)
        wanted = sorted({canonical(tap.tap.site, layer) for tap in gradient.taps for layer in tap.layers})
        found = torch.autograd.grad(target, [nodes[a] for a in wanted], slope, retain_graph=more, allow_unused=True)
        slopes = {a: torch.zeros_like(nodes[a]) if g is None else g for a, g in zip(wanted, found, strict=True)}
        with torch.no_grad():
            readings = tuple(
                read(
                    tap,
                    _Slopes(tap, slopes, self._tape, self._call, self._rows, place, self._runner),
                    self._runner.readout,
                )
                for tap in gradient.taps
            )
        return GradientReading(tuple(place), values, readings)

    def _target(
        self,
        gradient: BoundGradient,
        place: Mapping[int, int],
        kept: Mapping[str, Kept],
        hidden: Tensor,
        nodes: Mapping[Address, Tensor],
    ) -> tuple[Tensor, Tensor, tuple[float, ...]]:
        """(what is differentiated, the derivative of the metrics by it, the metric of each row)."""
        metric = gradient.gradient.metric
        if isinstance(metric, Dot):
            return self._dot(gradient, metric, place, nodes)
        slope, values = torch.zeros_like(hidden), []
        with torch.no_grad():
            for number, member in place.items():
                index, pad = member, self._call.pads[member]
                here = self._cotangent(metric, number, hidden[index, pad:], self._rows[member], kept)
                slope[index, pad:] = here.gradient.to(slope.dtype)
                values.append(here.value)
        return hidden, slope, tuple(values)

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

    def _dot(
        self, gradient: BoundGradient, metric: Dot, place: Mapping[int, int], nodes: Mapping[Address, Tensor]
    ) -> tuple[Tensor, Tensor, tuple[float, ...]]:
        node = nodes[canonical(metric.site, metric.layer)]
        slope, values = torch.zeros_like(node), []
        seen = self._tape.as_site(canonical(metric.site, metric.layer), node.detach())
        written = self._tape.as_site(canonical(metric.site, metric.layer), slope)
        assert gradient.vector is not None
        width = self._tape.width(canonical(metric.site, metric.layer))
        for number, member in place.items():
            pad = self._call.pads[member]
            columns = (
                torch.tensor(chosen_positions(gradient.selections[number], self._rows[member]), dtype=torch.long) + pad
            )
            vector = gradient.vector.to(node.device).expand(len(columns), *_site_shape(seen, width))
            part = vector if seen.shape[2] == width else self._runner.ranks.share(vector, 1)
            written[member, columns] = part.to(written.dtype)
            value = (seen[member, columns].float() * part).sum()
            shared = seen.shape[2] < width
            values.append(float(self._runner.ranks.total(value.clone()) if shared else value))
        return node, slope, tuple(values)


def _site_shape(seen: Tensor, width: int) -> tuple[int, ...]:
    return (width, *seen.shape[3:])


class _Slopes:
    """Derivatives of one tap, cut into program rows as values are."""

    def __init__(
        self,
        tap: BoundTap,
        slopes: Mapping[Address, Tensor],
        tape: Tape,
        call: Pass,
        rows: Sequence[BatchRow],
        place: Mapping[int, int],
        runner: Runner,
    ) -> None:
        self._tap, self._place, self._runner = tap.tap, place, runner
        self._records: dict[Address, Record] = {}
        for layer in tap.layers:
            address = canonical(tap.tap.site, layer)
            record = Record(tape.width(address), runner.ranks)
            record.add(call, tape.as_site(address, slopes[address]))
            self._records[address] = record
        self.positions = {row: chosen_positions(tap.selections[row], rows[place[row]]) for row in tap.rows}

    def at(self, layer: int, row: int) -> Tensor:
        values = self._records[canonical(self._tap.site, layer)].row(self._place[row])
        return finish(values[list(self.positions[row])], self._tap, self._runner.readout)

    def part(self, layer: int, row: int) -> Tensor:
        raise NotImplementedError("a gradient is not decoded")

    def final(self, row: int) -> Tensor:
        raise NotImplementedError("a gradient is not decoded")
