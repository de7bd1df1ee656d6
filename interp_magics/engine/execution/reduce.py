"""From what the tape recorded to what a tap asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from msgspec import Struct
from torch import Tensor

from ...errors import RequestError
from ...program.language import Latents, Lens, Moments, Project, Raw, Surprisal, Tap
from .. import lens
from ..lens_kinds import LENS_KINDS
from ..protocol import Reading, RowValues
from ..readout import Readout
from ..surprisal import divergence, surprisal
from .batch import BatchRow
from .plan import BoundTap, Kept, canonical, chosen_positions
from .tape import Tape

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class Values(Protocol):
    """The values of one tap, cut into program rows: `at(layer, row)` is [positions, ...] with the tap's index applied."""

    @property
    def positions(self) -> dict[int, tuple[int, ...]]: ...

    def at(self, layer: int, row: int) -> Tensor: ...


@runtime_checkable
class Decodable(Values, Protocol):
    """Values of the stream, which a lens reads a share at a time."""

    def part(self, layer: int, row: int) -> Tensor:
        """This rank's share of a stream-wide site: [positions, d / ranks]."""
        ...

    def final(self, row: int) -> Tensor:
        """This rank's share of what the head read at the same positions."""
        ...


@runtime_checkable
class Known(Values, Protocol):
    """Values of rows whose tokens are known."""

    def following(self, row: int) -> list[int | None]:
        """The token after each position, None where there is none."""
        ...


class Recorded:
    """Values as the tape of a batch recorded them, of the positions in `stretch` ((start, stop) of each row) or of all."""

    def __init__(
        self,
        tap: BoundTap,
        tape: Tape,
        rows: Mapping[int, BatchRow],
        batch: Mapping[int, int],
        readout: Readout,
        stretch: Mapping[int, tuple[int, int]] | None = None,
    ) -> None:
        self._tap, self._tape, self._batch, self._readout = tap, tape, batch, readout
        self._rows = rows
        self.positions = {
            row: chosen_positions(tap.selections[row], rows[row], None if stretch is None else stretch[row])
            for row in tap.rows
        }

    def at(self, layer: int, row: int) -> Tensor:
        return finish(self._cut(canonical(self._tap.tap.site, layer), row), self._tap.tap, self._readout)

    def part(self, layer: int, row: int) -> Tensor:
        return self._share(canonical(self._tap.tap.site, layer), row)

    def final(self, row: int) -> Tensor:
        return self._share(("ln_final", 0), row)

    def following(self, row: int) -> list[int | None]:
        tokens = (*self._rows[row].encoded.ids, *self._rows[row].completion)
        return [tokens[p + 1] if p + 1 < len(tokens) else None for p in self.positions[row]]

    def _share(self, address: tuple[str, int], row: int) -> Tensor:
        record, member = self._tape.record(address), self._batch[row]
        return self._chosen(record.part(member), record.first(member), row)

    def _cut(self, address: tuple[str, int], row: int) -> Tensor:
        record, member = self._tape.record(address), self._batch[row]
        values = record.patterns(member) if address[0] == "attn_pattern" else record.row(member)
        return self._chosen(values, record.first(member), row)

    def _chosen(self, values: Tensor, first: int, row: int) -> Tensor:
        positions = self.positions[row]
        chosen = values if len(positions) == len(values) else values[[p - first for p in positions]]
        return chosen.to(self._readout.weight.device)


def finish(values: Tensor, tap: Tap, readout: Readout) -> Tensor:
    """From the canonical site to what the tap names."""
    if tap.site == "logits":
        return readout.logits(values) if tap.index is None else _logits_of(values, tap.index, readout)
    return values if tap.index is None else values[:, list(tap.index)]


def _logits_of(values: Tensor, tokens: Sequence[int], readout: Readout) -> Tensor:
    return readout.chosen(values, torch.tensor(tokens, dtype=torch.long, device=values.device))


def kept_values(tap: BoundTap, recorded: Recorded, last: bool) -> Kept:
    """What a later stage may refer to, or after the `last` one a follow-up, which finds it in host memory; copied, since
    the tape goes with its batch."""
    device = torch.device("cpu") if last else None
    values = {(x, row): recorded.at(x, row).to(device, copy=True) for x in tap.layers for row in tap.rows}
    return Kept(tap.tap.site, values, recorded.positions)


def read(tap: BoundTap, recorded: Values, readout: Readout) -> Reading:
    """Reduce a tap's values."""
    assert tap.tap.reduce is not None
    reducer = _REDUCERS[type(tap.tap.reduce)]
    values = reducer(tap, recorded, readout)
    positions = tuple(recorded.positions[row] for row in tap.rows)
    return Reading(tap.rows, tap.layers, positions, tuple(values))


def _raw(tap: BoundTap, recorded: Values, readout: Readout) -> Sequence[RowValues]:
    assert isinstance(tap.tap.reduce, Raw)
    wanted = tap.tap.reduce.dtype
    made = []
    for row in tap.rows:
        values = torch.stack([recorded.at(layer, row) for layer in tap.layers])
        made.append({"values": (values if wanted is None else values.to(_DTYPES[wanted])).cpu()})
    return made


def _project(tap: BoundTap, recorded: Values, readout: Readout) -> Sequence[RowValues]:
    assert tap.matrix is not None
    matrix = tap.matrix
    return [
        {
            "values": torch.stack(
                [recorded.at(layer, row).float() @ matrix.to(readout.weight.device).T for layer in tap.layers]
            ).cpu()
        }
        for row in tap.rows
    ]


def _latents(tap: BoundTap, recorded: Values, readout: Readout) -> Sequence[RowValues]:
    spec, dictionary = tap.tap.reduce, tap.dictionary
    assert isinstance(spec, Latents) and dictionary is not None

    def of(x: Tensor) -> Tensor:
        f = dictionary.encode(x.flatten(1).float())
        return f if spec.latents is None else f[:, list(spec.latents)]

    return [{"values": torch.stack([of(recorded.at(layer, row)) for layer in tap.layers]).cpu()} for row in tap.rows]


def _moments(tap: BoundTap, recorded: Values, readout: Readout) -> Sequence[RowValues]:
    made = []
    for row in tap.rows:
        layers = [recorded.at(layer, row).float() for layer in tap.layers]
        mean = torch.stack([x.mean(0) for x in layers])
        variance = torch.stack([x.var(0, correction=0) for x in layers])
        norm = torch.stack([x.norm(dim=-1).mean(0) for x in layers])
        made.append({"mean": mean.cpu(), "variance": variance.cpu(), "norm": norm.cpu()})
    return made


def _lens(tap: BoundTap, recorded: Values, readout: Readout) -> Sequence[RowValues]:
    """All rows of the tap are decoded together, so that short ones fill whole chunks."""
    spec = tap.tap.reduce
    assert isinstance(spec, Lens) and isinstance(recorded, Decodable)
    kind = LENS_KINDS[spec.kind]
    streams = [_together([recorded.part(layer, row) for row in tap.rows]) for layer in tap.layers]
    final = _together([recorded.final(row) for row in tap.rows]) if spec.kl_final else streams[0]

    def whole(part: Tensor) -> Tensor:
        return readout.ranks.gather(part, 1, readout.weight.shape[1])

    def normed(start: int, stop: int) -> Tensor:
        pairs = zip(streams, tap.layers, strict=True)
        return torch.stack([kind.normed(whole(stream[start:stop]), layer, readout) for stream, layer in pairs])

    source = lens.Source(len(streams), len(streams[0]), normed, lambda start, stop: whole(final[start:stop]))
    track = torch.tensor(spec.track, dtype=torch.long, device=readout.weight.device)
    arrays = lens.decode(source, readout, lens.LensRequest(spec.top_k, track, spec.entropy, spec.kl_final))
    return _split(arrays, [len(recorded.positions[row]) for row in tap.rows])


def _surprisal(tap: BoundTap, recorded: Values, readout: Readout) -> Sequence[RowValues]:
    spec = tap.tap.reduce
    assert isinstance(spec, Surprisal) and isinstance(recorded, Known)
    against = None if spec.against is None else recorded.at(0, spec.against)
    made: list[RowValues] = []
    for row in tap.rows:
        normed = recorded.at(0, row)
        values = {"surprisal": surprisal(normed, recorded.following(row), readout)[None].cpu()}
        if against is not None:
            if len(against) != len(normed):
                raise RequestError(f"row {row} has other positions than row {spec.against}, which it is compared with")
            values["divergence"] = divergence(normed, against, readout)[None].cpu()
        made.append(values)
    return made


def _together(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _split(arrays: lens.LensArrays, lengths: list[int]) -> list[lens.LensArrays]:
    names = list(lens.LensArrays.__dataclass_fields__)
    given = {name: getattr(arrays, name) for name in names}
    pieces = {n: [None] * len(lengths) if v is None else v.split(lengths, dim=1) for n, v in given.items()}
    return [lens.LensArrays(**{n: pieces[n][i] for n in names}) for i in range(len(lengths))]


_REDUCERS: dict[type[Struct], Callable[[BoundTap, Values, Readout], Sequence[Any]]] = {
    Raw: _raw,
    Lens: _lens,
    Project: _project,
    Moments: _moments,
    Surprisal: _surprisal,
    Latents: _latents,
}
REDUCTION_NAMES = tuple(str(kind.__struct_config__.tag) for kind in _REDUCERS)
