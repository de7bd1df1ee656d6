"""What the taps of a batch read. A lens is decoded while the batch runs, a stretch of positions at a time, and the values
that it alone needs are let go: a long prompt or completion holds no more of them than a short one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ...errors import RequestError
from ...program.language import Lens
from ..lens import LensArrays
from ..protocol import Reading
from ..readout import Readout
from .batch import PASS_TOKENS, Address, BatchRow, Pass
from .plan import BoundStage, BoundTap, Kept, canonical, chosen_positions
from .reduce import Recorded, kept_values, read
from .tape import Tape

#: Values of a position that wait at one lens before it decodes them: a few chunks of the kernel.
WAITING = 2048
#: What the lenses of a batch may hold of one pass over its prompts.
HELD_BYTES = 128 << 20
#: Passes after which a lens that streams decodes what it has.
STREAM_PASSES = 8


#: Told of what the streaming lenses of a task have decoded since the last time.
Tell = Callable[[int, tuple[Reading, ...]], None]


@dataclass(eq=False)
class Part:
    """One program in the batch: its task's number, its stage, its rows by number, the batch row of each, and why it cannot
    be read."""

    task: int
    stage: BoundStage
    rows: Mapping[int, BatchRow]
    place: Mapping[int, int]
    error: RequestError | None = None


@dataclass(eq=False)
class _Decoding:
    """A lens and what it has decoded so far of each of its rows; `seen` is how far each batch row had been read then."""

    part: Part
    tap: BoundTap
    seen: dict[int, int] = field(default_factory=dict)
    positions: dict[int, list[int]] = field(default_factory=dict)
    arrays: dict[int, list[LensArrays]] = field(default_factory=dict)

    def add(self, reading: Reading) -> None:
        for row, positions, values in zip(reading.rows, reading.positions, reading.values, strict=True):
            assert isinstance(values, LensArrays)
            self.positions.setdefault(row, []).extend(positions)
            self.arrays.setdefault(row, []).append(values)

    def reading(self) -> Reading:
        rows = self.tap.rows
        positions = tuple(tuple(self.positions[row]) for row in rows)
        return Reading(rows, self.tap.layers, positions, tuple(_joined(self.arrays[row]) for row in rows))


class Reader:
    """Follows the passes of a batch; `collect` gives what a program's taps read once its rows have ended."""

    def __init__(self, tape: Tape, readout: Readout, tell: Tell) -> None:
        self._tape, self._readout, self._tell = tape, readout, tell
        self._parts: list[Part] = []
        self._lenses: list[_Decoding] = []
        self._dropped: set[Address] = set()
        self._read: dict[int, int] = {}
        self._passes = 0
        self._waiting = 0

    @property
    def most_tokens(self) -> int:
        """How many tokens a pass may have, so that what the lenses hold of it is bounded."""
        weight = self._readout.weight
        each = weight.shape[1] * weight.element_size() * len(self._dropped)
        return min(PASS_TOKENS, max(1, HELD_BYTES // each)) if each else PASS_TOKENS

    def add(self, part: Part) -> None:
        """Read for one more program."""
        self._parts.append(part)
        self._lenses += [_Decoding(part, tap) for tap in part.stage.taps if _decodes(tap)]
        self._dropped = self._of_lenses() - _needed(self._parts)

    def forget(self, part: Part) -> None:
        """Read no more for a program that has ended."""
        self._parts = [one for one in self._parts if one is not part]
        self._lenses = [lens for lens in self._lenses if lens.part is not part]
        self._dropped = self._of_lenses() - _needed(self._parts)
        for member in part.place.values():
            self._read.pop(member, None)

    def passed(self, call: Pass) -> None:
        """Take note of a forward call; decode when enough waits."""
        for index, member in enumerate(call.members):
            self._read[member] = call.stop(index)
        for member, index in call.followers.items():
            self._read[member] = call.stop(index)
        self._waiting += call.size * len(self._dropped)
        if self._waiting > WAITING * len(self._lenses):
            self._decode_all()
        elif self._passes % STREAM_PASSES == 0:
            self._decode_for([lens for lens in self._lenses if _streams(lens.tap)])
        self._passes += 1

    def collect(self, part: Part, kept: dict[str, Kept], last: bool) -> tuple[Reading, ...]:
        """The readings of a program's stage; what its taps keep goes into `kept`. Raises RequestError."""
        decoded = {id(lens.tap): lens for lens in self._lenses if lens.part is part}
        for lens in decoded.values():
            self._decode(lens, last=True)
        if part.error is not None:
            raise part.error
        readings = []
        for tap in part.stage.taps:
            if _decodes(tap):
                readings.append(decoded[id(tap)].reading())
                continue
            recorded = Recorded(tap, self._tape, part.rows, part.place, self._readout)
            if tap.tap.keep:
                kept[tap.tap.keep] = kept_values(tap, recorded, last)
            if tap.tap.reduce is not None:
                readings.append(read(tap, recorded, self._readout))
        return tuple(readings)

    def _decode_all(self) -> None:
        """Decode what was read since the last time, then drop it."""
        self._decode_for(self._lenses)
        for address in self._dropped:
            self._tape.record(address).chunks.clear()
        self._waiting = 0

    def _decode_for(self, lenses: Iterable[_Decoding]) -> None:
        """Decode for some of the lenses, and tell of those that stream."""
        told: dict[int, list[Reading]] = {}
        for lens in lenses:
            reading = self._decode(lens)
            if reading is not None and _streams(lens.tap):
                told.setdefault(lens.part.task, []).append(reading)
        for task, readings in told.items():
            self._tell(task, tuple(readings))

    def _decode(self, lens: _Decoding, last: bool = False) -> Reading | None:
        """Decode what one lens has not decoded yet, at the `last` time of every row; None when there is nothing or it cannot
        be."""
        part, tap = lens.part, lens.tap
        behind = {row: (lens.seen.get(part.place[row], 0), self._reached(part, row)) for row in tap.rows}
        stretch = {
            row: span
            for row, span in behind.items()
            if (last and row not in lens.arrays) or chosen_positions(tap.selections[row], part.rows[row], span)
        }
        if part.error is not None or not stretch:
            return None
        fresh = replace(tap, rows=tuple(stretch))
        recorded = Recorded(fresh, self._tape, part.rows, part.place, self._readout, stretch)
        lens.seen.update((part.place[row], stop) for row, (_, stop) in behind.items())
        try:
            reading = read(fresh, recorded, self._readout)
        except RequestError as fault:
            part.error = fault
            return None
        lens.add(reading)
        return reading

    def _reached(self, part: Part, row: int) -> int:
        """How many positions of a row were read. A step that was scheduled ahead may have fed the token that ended it."""
        read, its = self._read.get(part.place[row], 0), part.rows[row]
        return min(read, its.read_length) if its.over else read

    def _of_lenses(self) -> set[Address]:
        found = {canonical(lens.tap.tap.site, layer) for lens in self._lenses for layer in lens.tap.layers}
        return found | {("ln_final", 0)} if any(_compares(lens.tap) for lens in self._lenses) else found


def _decodes(tap: BoundTap) -> bool:
    return isinstance(tap.tap.reduce, Lens) and not tap.tap.keep


def _streams(tap: BoundTap) -> bool:
    return isinstance(tap.tap.reduce, Lens) and tap.tap.reduce.stream and not tap.tap.keep


def _compares(tap: BoundTap) -> bool:
    return isinstance(tap.tap.reduce, Lens) and tap.tap.reduce.kl_final


def _needed(parts: Sequence[Part]) -> set[Address]:
    """What must stay on the tape until the end."""
    taps = [tap for part in parts for tap in part.stage.taps if not _decodes(tap)]
    needed = {canonical(tap.tap.site, layer) for tap in taps for layer in tap.layers}
    return needed | {("ln_final", 0)} if any(_compares(tap) for tap in taps) else needed


def _joined(pieces: Sequence[LensArrays]) -> LensArrays:
    if len(pieces) == 1:
        return pieces[0]
    names = LensArrays.__dataclass_fields__
    given = {name: [getattr(piece, name) for piece in pieces] for name in names}
    return LensArrays(**{n: None if values[0] is None else torch.cat(values, 1) for n, values in given.items()})
