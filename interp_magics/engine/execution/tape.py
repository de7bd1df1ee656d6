"""Hooks for one batch: apply its edits in the order written, then record what its taps read.

A hook exists only where something is read or written, and only while the batch runs. Values are recorded by reference (a
transformers block never writes its outputs in place in inference) and cut into rows afterwards. An edited tensor is always
a clone, so that neither an earlier record nor the stream itself changes under anyone.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from torch import Tensor

from ...program.sites import SITES
from ..arch import Arch, Port, site_shape
from ..ranks import ALONE, Ranks
from .batch import Address, Cut, Pass, Rows, Span
from .conditions import BoundWhen
from .crossing import Crossing, Stages
from .hooks import Parts, hook, joined, parted
from .readers import Groups, Readers
from .records import Cuts, Record, part_of
from .splices import BoundSource
from .writing import BoundEdit, Given, Writer, apart

#: Everything that can be differentiated is computed from the stream that enters the first block.
GRAPH_BEGINS: Address = ("resid_pre", 0)


class Tape:
    """Edits and records of one batch. `during(call)` frames each forward call; `record(address)` is read at the end."""

    def __init__(
        self,
        arch: Arch,
        rows: Rows,
        ranks: Ranks = ALONE,
        stages: "Stages | None" = None,
        lent: bool = False,
        together: bool = True,
    ) -> None:
        """`ranks` share this process's layers; in a pipeline `stages` says who has the others. Tensors that are `lent` are
        written over after a hook: they are copied to be kept, and changed where they are. Rows that do not pass `together` do so
        after those that they copy from."""
        self._arch, self._rows, self._ranks, self._stages, self._lent = arch, rows, ranks, stages, lent
        self._together = together
        self._crossing = None if stages is None else Crossing(stages, ranks)
        self._edits: dict[Address, list[BoundEdit]] = {}
        self._looks: dict[Address, list[BoundWhen | BoundSource]] = {}
        self._records: dict[Address, Record] = {}
        self._groups = Groups()
        self._parts: dict[Readers, Cut] = {}
        self._nodes: dict[Address, Tensor] | None = None
        self._stack: Pass | None = None
        self._fresh: Pass | None = None
        self._again = False
        self._bases: dict[int, Tensor] = {}
        self._wanted_nodes: set[Address] = set()
        self._writer = Writer(rows, ranks, lambda site: site_shape(site, arch.shapes)[0])
        self._joined: dict[Address, BoundEdit] = {}

    def edit(self, address: Address, bound: BoundEdit) -> None:
        """Edit a site at a layer, after all edits that it has already."""
        self._writer.forget()
        if bound.source is not None and not self._together:
            bound = replace(bound, given=Given())
        here = self._edits.setdefault(address, [])
        if here and apart(here[-1], bound):
            self._join(address, here, bound)
        else:
            here.append(bound)
        for looked in (bound.when, bound.reads):
            if looked is not None:
                self._looks.setdefault(looked.address, []).append(looked)

    def _join(self, address: Address, here: list[BoundEdit], bound: BoundEdit) -> None:
        """Let the last edit of an address, an addition, do one more."""
        last = here[-1]
        assert last.shifts is not None and bound.shifts is not None
        if last is not self._joined.get(address):
            last = BoundEdit({**last.selections}, None, None, shifts={**last.shifts})
            here[-1] = self._joined[address] = last
        assert last.shifts is not None
        last.selections.update(bound.selections)
        last.shifts.update(bound.shifts)

    def want(self, address: Address, spans: Mapping[int, Span]) -> None:
        """Record a site at a layer for some batch rows, each in its span at least."""
        if address not in self._records:
            self._records[address] = self._record(address)
        record = self._records[address]
        record.readers = self._groups.wider(record.readers, spans)

    def forget(self, members: Collection[int]) -> None:
        """Let go of all that concerns batch rows which have ended."""
        self._writer.forget()
        gone = frozenset(members)
        left = self._groups.without([record.readers for record in self._records.values()], gone)
        cuts: dict[Readers, Cuts] = {}
        for address, record in list(self._records.items()):
            readers = left[record.readers]
            if not readers.spans:
                del self._records[address]
            elif readers is not record.readers:
                record.readers = readers
                record.keep_only(cuts.setdefault(readers, {}))
        for several in self._joined.values():
            assert several.shifts is not None
            for member in gone & several.selections.keys():
                del several.selections[member], several.shifts[member]
        edits = {
            a: [edit for edit in edits if not gone.issuperset(edit.selections)] for a, edits in self._edits.items()
        }
        self._edits = {address: some for address, some in edits.items() if some}
        used = {id(look) for edits in self._edits.values() for edit in edits for look in (edit.when, edit.reads)}
        for looks in self._looks.values():
            looks[:] = [one for one in looks if id(one) in used]

    def record(self, address: Address) -> Record:
        return self._records[address]

    def _record(self, address: Address) -> Record:
        made = Record(self.width(address), self._ranks)
        if self._stages is not None:
            made.all, made.owner, made.device = self._stages.all, self._stages.owner(address), self._stages.device
        return made

    def differentiate(self, addresses: Sequence[Address]) -> dict[Address, Tensor]:
        """Make the values at `addresses` nodes of the graph, filled in by the next pass: what follows is computed from
        them, and nothing else is. The stream that enters the first block is where the graph begins."""
        self._nodes = {}
        self._wanted_nodes = {*addresses, GRAPH_BEGINS}
        return self._nodes

    def as_site(self, address: Address, value: Tensor) -> Tensor:
        """A tensor like the one that a hook sees, as the site's value."""
        return self._port(address).view(value)

    def touch(self, address: Address, parts: Parts) -> None:
        """Do to lent tensors what a hook does."""
        new = self._changed(address, self._port(address), parts)
        for part, value in () if new is None else zip(parts, new, strict=True):
            if part is not None and value is not None:
                part.copy_(value)

    @property
    def addresses(self) -> frozenset[Address]:
        """Where a pass is written to or read."""
        looked = (address for address, looks in self._looks.items() if looks)
        return frozenset((*self._edits, *looked, *self._records, *self._wanted_nodes))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Hooks in place; removed on the way out, whatever happens."""
        with ExitStack() as stack:
            here = [address for address in self.addresses if self._there(address)]
            addresses = sorted(here, key=lambda a: (a[1], SITES.index(a[0])))
            for address in addresses:
                port = self._port(address)
                stack.callback(hook(port, partial(self._changed, address, port)).remove)
            # After the edits, so that a base is what the block really reads.
            for base in {id(p.base.module): p.base for a in addresses if (p := self._port(a)).base}.values():
                stack.callback(hook(base, partial(self._noted, base)).remove)
            yield

    @contextmanager
    def during(self, call: Pass, fresh: Pass | None = None) -> Iterator[None]:
        """One forward call over `call`, of which `fresh` (or all) is read. Blocks of it that are run once more afterwards are
        edited the same, and not read."""
        self._stack, self._fresh = call, fresh or call
        self._parts, self._again = {}, False
        self._writer.begin(call)
        self._bases.clear()
        if self._crossing is not None:
            self._crossing.take(self._conditional, call)
        yield
        if self._crossing is not None:
            self._crossing.send(self._conditional, call)
        self._again = True
        for address, record in self._records.items():
            if not self._there(address):
                cut = self._read_from(record.readers)
                if cut.part.members:
                    record.add(*part_of(self._fresh, None, cut))

    @property
    def _conditional(self) -> list[tuple[Address, BoundWhen]]:
        """Conditions of edits, and where those are."""
        return [(address, e.when) for address, edits in self._edits.items() for e in edits if e.when is not None]

    def width(self, address: Address) -> int:
        """The first axis of a site: the stream's width, heads or neurons."""
        return site_shape(address[0], self._arch.shapes)[0]

    def _there(self, address: Address) -> bool:
        """Whether this process has the layer."""
        return self._arch.ports[address[0]][address[1]] is not None

    def _port(self, address: Address) -> Port:
        port = self._arch.ports[address[0]][address[1]]
        assert port is not None
        return port

    def _noted(self, base: Port, parts: Parts) -> None:
        self._bases[id(base.module)] = joined(parts)

    def _changed(self, address: Address, port: Port, parts: Parts) -> Parts | None:
        """What is in the slots of a port from now on; None when it is what was."""
        value = joined(parts)
        new = self._visit(address, port, value, summed=value is not parts[0])
        return None if new is value else parted(new, parts)

    def _visit(self, address: Address, port: Port, raw: Tensor, summed: bool) -> Tensor:
        if self._nodes is not None and address == GRAPH_BEGINS:
            raw = raw.detach().requires_grad_()
        edits = [(e, p) for e in self._edits.get(address, ()) if (p := self._writer.targets(e)) is not None]
        base = None if port.base is None else self._bases[id(port.base.module)]
        if not edits:
            self._seen(address, port, raw if base is None else raw + base, own=summed)
            return self._node(address, raw)
        value = raw.clone() if base is None else raw + base
        before = value.clone() if base is not None else value
        view = port.view(value)
        for edit, places in edits:
            self._writer.apply(edit, places, view, self.width(address))
        self._seen(address, port, value, own=False)
        return self._node(address, value if base is None else raw + (value - before))

    def _node(self, address: Address, value: Tensor) -> Tensor:
        """The value as a node of its own, where a gradient is taken by it.

        What attention adds enters the stream once, so the derivative by `resid_mid` is that by what its hook returns.
        """
        if self._nodes is None or address not in self._wanted_nodes:
            return value
        node = value.view_as(value)
        if not self._again:
            self._nodes[address] = node
        return node

    def _seen(self, address: Address, port: Port, value: Tensor, own: bool) -> None:
        """The value as all that comes later finds it; a tensor of our `own`, or one that the model goes on with."""
        for looked in self._looks.get(address, ()):
            assert self._stack is not None
            looked.look(port.view(value), self._stack, self._rows)
        self._keep(address, port, value, own)

    def _keep(self, address: Address, port: Port, value: Tensor, own: bool) -> None:
        record = self._records.get(address)
        if record is None or self._fresh is None or self._again:
            return
        cut = self._read_from(record.readers)
        if cut.part.members:
            whole = port.view(value)
            call, kept = part_of(self._fresh, whole, cut)
            # What a stage receives lies in a buffer that the next pass is received in.
            lent = self._lent or (self._stages is not None and address[0] == "resid_pre")
            record.add(call, kept.clone() if lent and not own and kept is whole else kept)

    def _read_from(self, readers: Readers) -> Cut:
        """The part of this pass that some batch rows are read from; shared by all layers of a pass."""
        if readers not in self._parts:
            assert self._fresh is not None
            self._parts[readers] = self._fresh.cut(readers.spans)
        return self._parts[readers]
