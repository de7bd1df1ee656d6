"""What is under way on one vLLM: the rows of all tasks as its requests, their edits and reads as hooks on its model."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import Protocol

import msgspec
import torch
from torch import Tensor

from ...errors import RequestError
from ...program.copies import sources
from ...program.language import All, Edit, Sampling
from ...program.operations import Copy, Ref
from ...program.supports import vectors
from ..arch import Arch
from ..execution.batch import Address, BatchRow, Pass
from ..execution.crossing import Stages
from ..execution.hooks import Parts
from ..execution.plan import BoundStage, place_on
from ..execution.reading import Part, Reader
from ..execution.running import Running
from ..execution.stopping import finish
from ..execution.tape import Tape
from ..protocol import Host, Reading
from ..readout import Readout
from ..tokens import Encoded, Tokens
from .holding import budget
from .sampler import CHOICES, Choice
from .seam import Asked, Seam, Told
from .tables import Tables


class Owner(Protocol):
    """Who is told what becomes of a task."""

    @property
    def host(self) -> Host: ...

    def over(self, going: "Going", error: Exception | None) -> None:
        """The stage of a task has ended, and its readings are taken; or something was wrong with them."""
        ...

    def failed(self, going: "Going", error: Exception) -> None:
        """A task will not go on."""
        ...


@dataclass(eq=False)
class Going:
    """A task at one of its stages: whose it is, its rows in the batch, the requests that have not ended, and of those that have not
    begun, because they copy from others, which must end before; and the bytes that are held for it."""

    running: Running
    part: Part
    owner: Owner
    waiting: set[int]
    after: dict[int, set[int]]
    held: int


class Flight:
    """Requests for the rows of tasks; `step` runs the engine once and gives the tasks whose stage has ended. Additions to the
    stream are in the `tables` of the compiled model, where it has some and there is room."""

    def __init__(self, seam: Seam, arch: Arch, readout: Readout, tokens: Tokens, stop_ids: frozenset[int]) -> None:
        self._seam, self._tokens, self._stop_ids = seam, tokens, stop_ids
        self._vocabulary = readout.vocabulary
        self._rows: dict[int, BatchRow] = {}
        self._owners: dict[int, Going] = {}
        self._going: dict[int, Going] = {}
        self._read: dict[int, int] = {}
        self._numbers = count()
        self.most_held = budget()
        self._compiled = seam.compiled
        lent = seam.compiled or seam.native
        self._tape = Tape(arch, self._rows, seam.stages.ranks, _stages(seam, arch, readout), lent, together=False)
        self._inside = False
        self._reader = Reader(self._tape, readout, self._tell)
        self._hooks, self._hooked = ExitStack(), frozenset[Address]()
        self._seen: list[Tensor] | None = None
        self._frame = ExitStack()
        self._calls: list[Pass] = []
        seam.follow(self._before, self._after, lambda: bool(self._hooked))
        self.tables: Tables | None = None
        if seam.compiled:
            from .compiled import tables, visited_by

            visited_by(self._visited)
            self.tables = tables()
        if self.tables is not None:
            seam.follow_steps(self.tables.prepare)

    @property
    def going(self) -> list[Going]:
        """The tasks that are under way, in the order in which they came."""
        return list(self._going.values())

    def add(self, running: Running, stage: BoundStage, owner: Owner, held: int) -> Going:
        """Ask for the rows of a task's stage. Raises what vLLM has against one of them; none is asked for then."""
        place = {number: next(self._numbers) for number in stage.rows}
        number = min(place.values())
        for row, member in place.items():
            sampling = running.program.rows[row].sampling if running.last else None
            running.rows[row] = BatchRow(number, row, running.encoded[row], sampling, list(_forced(sampling)))
            self._rows[member] = running.rows[row]
        part = Part(number, stage, {row: running.rows[row] for row in place}, place)
        after = {
            place[row]: {place[one] for one in before}
            for row, before in sources(running.asked, len(running.encoded)).items()
        }
        going = Going(running, part, owner, set(place.values()), after, held)
        self._going[number] = going
        try:
            if self.tables is None or not self.tables.take(stage, place):
                place_on(self._tape, stage, place)
            self._reader.add(part)
            for member in place.values():
                self._owners[member] = going
                CHOICES[member] = Choice(self._rows[member].sampling, self._vocabulary, seen=self._seen)
                if member not in after:
                    self._begin(member, going)
        except Exception:
            self.leave([going])
            raise
        return going

    def _begin(self, member: int, going: Going) -> None:
        row = self._rows[member]
        self._seam.add(self._asked(member, going, row.row, row.sampling))

    def _released(self, going: Going, ended: int) -> None:
        """Begin the rows that have waited for one alone."""
        for member, before in list(going.after.items()):
            before.discard(ended)
            if not before:
                del going.after[member]
                self._begin(member, going)

    def _asked(self, member: int, going: Going, row: int, sampling: Sampling | None) -> Asked:
        forced = _forced(sampling)
        ids = (*going.running.encoded[row].ids, *forced[:-1])
        new = 1 if sampling is None or forced else sampling.max_new_tokens
        asked = going.running.asked.edits
        edits = [edit for edit in asked if edit.rows is None or row in edit.rows]
        decided = any(edit.when is not None and edit.when.check == "prefill" for edit in edits)
        copied = any(isinstance(edit.op, Copy) and edit.op.row == row for edit in asked)
        reuse = not decided and not copied and not _reads_before(going.part.stage, row, len(ids) - 1, forced)
        return Asked(member, ids, new, _salt(edits, going.running.encoded[row]), reuse)

    def step(self) -> list[Going]:
        """Run the engine once; the tasks whose rows have all ended."""
        if self._tape.addresses != self._hooked:
            self._hooked = self._tape.addresses
            if not self._compiled:
                self._hooks.close()
                self._hooks.enter_context(self._tape.installed())
        self._calls.clear()
        with torch.inference_mode():
            ended = [going for told in self._seam.step() if (going := self._told(told)) is not None]
            for call in self._calls:
                self._reader.passed(call)
        return ended

    def begin_anew(self) -> list[Going]:
        """After a fault: let go of all tasks, and of what stands in pages; the tasks."""
        left = self.going
        self.leave(left)
        self._seam.forget_pages()
        return left

    def figures(self) -> Mapping[str, float]:
        """What vLLM says of its queue and its pages."""
        return self._seam.figures()

    @contextmanager
    def watching(self) -> Iterator[list[Tensor]]:
        """The logits that the tokens of requests are taken from, while this lasts: each [vocabulary] in float32."""
        self._seen = []
        try:
            yield self._seen
        finally:
            self._seen = None

    @property
    def rows(self) -> int:
        """Rows that are under way."""
        return len(self._rows)

    @property
    def held(self) -> int:
        """Bytes of values that are held for what is under way."""
        return sum(going.held for going in self._going.values())

    def collect(self, going: Going) -> Exception | None:
        """Take what a task that has ended its stage has read; what was wrong with it."""
        running, part = going.running, going.part
        ends = {row.finish for row in part.rows.values()}
        if "overflow" in ends:
            return RequestError("the logits are not finite, so nothing follows; an edit is too large")
        try:
            with torch.inference_mode():
                running.readings.append(self._reader.collect(part, running.kept, running.last))
        except RequestError as fault:
            return fault
        running.gradients.append(())
        return None

    def leave(self, leaving: Sequence[Going]) -> None:
        """Let go of all that tasks have here, ended or not."""
        if not leaving:
            return
        self._seam.abort(sorted(number for going in leaving for number in going.waiting))
        for going in leaving:
            going.waiting.clear()
            self._reader.forget(going.part)
            self._going.pop(going.part.task, None)
        members = [member for going in leaving for member in going.part.place.values()]
        self._tape.forget(members)
        if self.tables is not None:
            self.tables.forget(members)
        for known in (self._rows, self._owners, self._read, CHOICES):
            for member in members:
                known.pop(member, None)

    def _told(self, told: Told) -> Going | None:
        """Take note of the new tokens of a request; its task, if that has ended with it."""
        going = self._owners.get(told.number)
        if going is None or told.number not in going.waiting:
            return None
        row, choice = self._rows[told.number], CHOICES[told.number]
        if row.sampling is None:
            over = told.ended
        elif not choice.sound:
            row.finish, over = "overflow", True
        elif row.sampling.forced is not None:
            row.finish, over = "length", told.ended
        else:
            over = self._take(row, told.tokens, going) or told.ended
            row.finish = row.finish if row.finish or not over else "length"
        if not over:
            return None
        if not told.ended:
            self._seam.abort([told.number])
        going.waiting.discard(told.number)
        self._released(going, told.number)
        return None if going.waiting else going

    def _take(self, row: BatchRow, tokens: Sequence[int], going: Going) -> bool:
        """Whether a row ends with its new tokens."""
        for token in tokens:
            row.completion.append(token)
            row.finish = finish(row, self._tokens, self._stop_ids)
            going.owner.host.generated(going.running.number, row.row, row.completion)
            if row.finish:
                return True
        return False

    def _before(self, call: Pass) -> None:
        self._frame.close()
        if not call.members:
            return
        fresh = call.after(self._read)
        for index, member in enumerate(fresh.members):
            self._read[member] = fresh.stop(index)
        self._calls.append(fresh)
        self._frame.enter_context(self._tape.during(call, fresh))
        self._inside = True

    def _after(self) -> None:
        self._inside = False
        self._frame.close()

    def _visited(self, address: Address, parts: Parts) -> None:
        """At a site of a compiled step."""
        if self._inside and address in self._hooked:
            self._tape.touch(address, parts)

    def _tell(self, task: int, readings: tuple[Reading, ...]) -> None:
        going = self._going[task]
        newest = max(
            (positions[-1] for reading in readings for positions in reading.positions if positions), default=-1
        )
        if newest <= going.running.told:
            return
        going.running.told = newest
        going.owner.host.decoded(going.running.number, going.running.row_outcomes(readings), readings)


def _stages(seam: Seam, arch: Arch, readout: Readout) -> Stages | None:
    if seam.stages.count == 1:
        return None
    layers, last = arch.shapes.layers, seam.stages.count - 1

    def owner(address: Address) -> int:
        site, layer = address
        return seam.stages.first_rank(last if site == "ln_final" else seam.stages.of_layer(layer, layers))

    return Stages(readout.ranks, owner, readout.weight.device)


def _forced(sampling: Sampling | None) -> tuple[int, ...]:
    return () if sampling is None or sampling.forced is None else sampling.forced


def _reads_before(stage: BoundStage, row: int, last: int, forced: Sequence[int]) -> bool:
    """Whether a stage reads a row before its last position, which a page of others might hold instead."""
    chosen = [tap.selections[row] for tap in stage.taps if row in tap.selections]
    return any(bool(one.mask(0, last, forced).any()) for one in chosen)


def _salt(edits: Sequence[Edit], encoded: Encoded) -> str | None:
    """What pages of a row may be shared by: edits that do the same to the same beginning. None for a row without."""
    if not edits:
        return None
    named = [vector for edit in edits for vector in (*vectors(edit.op), *([edit.when.vector] if edit.when else []))]
    if any(isinstance(vector, Ref) for vector in named) or any(isinstance(edit.op, Copy) for edit in edits):
        return secrets.token_hex(16)
    return sha256(msgspec.json.encode([_meant(edit, encoded) for edit in edits])).hexdigest()


def _meant(edit: Edit, encoded: Encoded) -> tuple[Edit, object]:
    """An edit wherever it is in a program, and where it is in the row, if that depends on how long the prompt is."""
    anywhere = msgspec.structs.replace(edit, rows=None)
    everywhere = isinstance(edit.positions, All) and (edit.when is None or edit.when.check == "token")
    return anywhere, None if everywhere else (len(encoded.ids), encoded.ids, encoded.text)
