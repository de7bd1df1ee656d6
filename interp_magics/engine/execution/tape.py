"""Hooks for one batch: apply its edits in the order written, then record what its taps read.

A hook exists only where something is read or written, and only while the batch runs. Values are recorded by reference (a
transformers block never writes its outputs in place in inference) and cut into rows afterwards. An edited tensor is always
a clone, so that neither an earlier record nor the stream itself changes under anyone.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...program.sites import SITES
from ..arch import Arch, Port, site_shape
from ..ranks import ALONE, Ranks
from .batch import Pass, Rows
from .conditions import BoundWhen
from .records import Cuts, Record, part_of
from .splices import BoundSource
from .writing import BoundEdit, Writer, apart

Address = tuple[str, int]

#: Everything that can be differentiated is computed from the stream that enters the first block.
GRAPH_BEGINS: Address = ("resid_pre", 0)


@dataclass(frozen=True)
class Stages:
    """Which of `all` ranks owns what is read at an address, in a pipeline; `device` is where this process computes."""

    all: Ranks
    owner: Callable[[Address], int]
    device: torch.device


class Tape:
    """Edits and records of one batch. `during(call)` frames each forward call; `record(address)` is read at the end."""

    def __init__(
        self, arch: Arch, rows: Rows, ranks: Ranks = ALONE, stages: "Stages | None" = None, lent: bool = False
    ) -> None:
        """`ranks` share this process's layers; in a pipeline `stages` says who has the others. Tensors that are `lent` are
        written over after a hook: they are copied to be kept, and changed where they are."""
        self._arch, self._rows, self._ranks, self._stages, self._lent = arch, rows, ranks, stages, lent
        self._edits: dict[Address, list[BoundEdit]] = {}
        self._looks: dict[Address, list[BoundWhen | BoundSource]] = {}
        self._records: dict[Address, Record] = {}
        self._readers: dict[Address, frozenset[int]] = {}
        self._parts: dict[frozenset[int], tuple[Pass, Tensor]] = {}
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

    def want(self, address: Address, members: Iterable[int]) -> None:
        """Record a site at a layer for some batch rows."""
        if address not in self._records:
            self._records[address] = self._record(address)
        self._readers[address] = self._readers.get(address, frozenset()).union(members)

    def forget(self, members: Collection[int]) -> None:
        """Let go of all that concerns batch rows which have ended."""
        self._writer.forget()
        gone = frozenset(members)
        cuts: dict[frozenset[int], Cuts] = {}
        for address, readers in list(self._readers.items()):
            if readers <= gone:
                del self._readers[address], self._records[address]
            elif readers & gone:
                self._readers[address] = readers - gone
                self._records[address].keep_only(readers - gone, cuts.setdefault(readers - gone, {}))
        for joined in self._joined.values():
            assert joined.shifts is not None
            for member in gone & joined.selections.keys():
                del joined.selections[member], joined.shifts[member]
        left = {a: [edit for edit in edits if not gone.issuperset(edit.selections)] for a, edits in self._edits.items()}
        self._edits = {address: edits for address, edits in left.items() if edits}
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

    def touch(self, address: Address, value: Tensor) -> None:
        """Do to a lent tensor what a hook does."""
        new = self._visit(address, self._port(address), value)
        if new is not value:
            value.copy_(new)

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
                stack.callback(self._hook(address, self._port(address)).remove)
            # After the edits, so that a base is what the block really reads.
            for base in {id(p.base.module): p.base for a in addresses if (p := self._port(a)).base}.values():
                stack.callback(base.module.register_forward_pre_hook(self._base_hook, with_kwargs=True).remove)
            yield

    @contextmanager
    def during(self, call: Pass, fresh: Pass | None = None) -> Iterator[None]:
        """One forward call over `call`, of which `fresh` (or all) is read. Blocks of it that are run once more afterwards are
        edited the same, and not read."""
        self._stack, self._fresh = call, fresh or call
        self._parts, self._again = {}, False
        self._writer.begin(call)
        self._bases.clear()
        yield
        self._again = True
        for address, record in self._records.items():
            if not self._there(address):
                part, chosen = self._read_from(self._readers[address], torch.device("cpu"))
                if part.members:
                    record.add(*part_of(self._fresh, None, part, chosen))

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

    def _base_hook(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._bases[id(module)] = args[0] if args else kwargs["hidden_states"]

    def _hook(self, address: Address, port: Port) -> Any:
        if port.side == "input":

            def on_input(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                value = args[0] if args else kwargs["hidden_states"]
                new = self._visit(address, port, value)
                if new is value:
                    return None
                return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": new})

            return port.module.register_forward_pre_hook(on_input, with_kwargs=True)

        def on_output(module: torch.nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            if not isinstance(output, tuple):
                return self._visit(address, port, output)
            place = 1 if port.side == "weights" else 0
            new = self._visit(address, port, output[place])
            return (*output[:place], new, *output[place + 1 :])

        return port.module.register_forward_hook(on_output)

    def _visit(self, address: Address, port: Port, raw: Tensor) -> Tensor:
        if self._nodes is not None and address == GRAPH_BEGINS:
            raw = raw.detach().requires_grad_()
        edits = [(e, p) for e in self._edits.get(address, ()) if (p := self._writer.targets(e)) is not None]
        base = None if port.base is None else self._bases[id(port.base.module)]
        if not edits:
            self._seen(address, port, raw if base is None else raw + base)
            return self._node(address, raw)
        value = raw.clone() if base is None else raw + base
        before = value.clone() if base is not None else value
        view = port.view(value)
        for edit, places in edits:
            self._writer.apply(edit, places, view, self.width(address))
        self._seen(address, port, value)
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

    def _seen(self, address: Address, port: Port, value: Tensor) -> None:
        """The value as all that comes later finds it."""
        for looked in self._looks.get(address, ()):
            assert self._stack is not None
            looked.look(port.view(value), self._stack, self._rows)
        self._keep(address, port, value)

    def _keep(self, address: Address, port: Port, value: Tensor) -> None:
        record = self._records.get(address)
        if record is None or self._fresh is None or self._again:
            return
        part, chosen = self._read_from(self._readers[address], value.device)
        if part.members:
            whole = port.view(value)
            call, kept = part_of(self._fresh, whole, part, chosen)
            # What a stage receives lies in a buffer that the next pass is received in.
            lent = self._lent or (self._stages is not None and address[0] == "resid_pre")
            record.add(call, kept.clone() if lent and kept is whole else kept)

    def _read_from(self, readers: frozenset[int], device: torch.device) -> tuple[Pass, Tensor]:
        """The part of this pass that some batch rows are read from, and its rows; shared by all layers of a pass."""
        if readers not in self._parts:
            assert self._fresh is not None
            part, chosen = self._fresh.only(readers)
            self._parts[readers] = part, torch.tensor(chosen, device=device)
        return self._parts[readers]
