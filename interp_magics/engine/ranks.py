"""The ranks of a worker group: the one file in which tensors cross from process to process.

All ranks run the same code on the same plan, so that collectives meet. Nothing is pickled: what is not a tensor travels as
bytes in a uint8 tensor. `Ranks` of one process does nothing and costs nothing.
"""

import gc
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import RequestError
from ..launch.config import Place

#: Idle ranks wait for the next plan as long as it takes.
_PATIENCE = timedelta(days=365)
_LISTENING = "0A"
_MOST_AXES = 4
Given = ParamSpec("Given")
Made = TypeVar("Made")
_KINDS = (torch.float32, torch.float16, torch.bfloat16, torch.int64)


class OutOfStep(Exception):
    """One rank had a fault that the others may not have had, or is gone: they no longer wait for the same thing."""


def _together(call: Callable[Given, Made]) -> Callable[Given, Made]:
    """A call that all ranks make. What a backend raises when one of them is gone is a RuntimeError."""

    @wraps(call)
    def made(*args: Given.args, **named: Given.kwargs) -> Made:
        try:
            return call(*args, **named)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise OutOfStep(f"another rank does not answer: {error}") from error

    return made


@dataclass(frozen=True)
class Posted:
    """A tensor on its way to another rank, which is kept until it is there."""

    value: Tensor
    work: dist.Work | None

    def wait(self) -> None:
        if self.work is not None:
            self.work.wait()


@dataclass(frozen=True)
class Ranks:
    """Rank `rank` of `size`. `control` is a gloo group for plans and tokens, so that idle ranks never wait on a GPU; `group` the
    one in which tensors cross, if that is not of all processes."""

    rank: int = 0
    size: int = 1
    control: Any = None
    group: Any = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def bounds(self, whole: int) -> tuple[int, int]:
        """(start, stop) of this rank's part of `whole` rows, as torch.chunk and DTensor's Shard cut them."""
        step = -(-whole // self.size)
        return min(whole, self.rank * step), min(whole, (self.rank + 1) * step)

    def share(self, value: Tensor, dim: int) -> Tensor:
        """This rank's part of a tensor that all ranks hold."""
        start, stop = self.bounds(value.shape[dim])
        return value.narrow(dim, start, stop - start)

    def gather(self, value: Tensor, dim: int, whole: int) -> Tensor:
        """The tensor of `whole` along `dim` of which each rank holds its `share`; on every rank."""
        if self.size == 1:
            return value
        step = -(-whole // self.size)
        moved = value.movedim(dim, 0)
        padded = moved.new_zeros(step, *moved.shape[1:])
        padded[: len(moved)] = moved
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded, group=self.group)
        return torch.cat(parts)[:whole].movedim(0, dim)

    def stacked(self, value: Tensor) -> Tensor:
        """[ranks, ...]: the tensor of each rank, all of one shape; on every rank."""
        if self.size == 1:
            return value.unsqueeze(0)
        parts = [torch.empty_like(value) for _ in range(self.size)]
        dist.all_gather(parts, value.contiguous(), group=self.group)
        return torch.stack(parts)

    def total(self, value: Tensor) -> Tensor:
        """The sum over ranks; on every rank."""
        if self.size > 1:
            dist.all_reduce(value, group=self.group)
        return value

    @_together
    def summed(self, numbers: Sequence[int]) -> list[int]:
        """The sums of numbers over ranks; on every rank."""
        if self.size == 1:
            return list(numbers)
        told = torch.tensor(numbers, dtype=torch.int64)
        dist.all_reduce(told, group=self.control)
        return [int(n) for n in told]

    @_together
    def spread(self, value: Tensor | None, origin: int, device: torch.device) -> Tensor:
        """The tensor of rank `origin`; on every rank, on its device."""
        told = torch.zeros(_MOST_AXES + 2, dtype=torch.int64)
        if value is not None:
            told[: value.ndim + 2] = torch.tensor([_KINDS.index(value.dtype), value.ndim, *value.shape])
        dist.broadcast(told, origin, group=self.control)
        kind, axes, *shape = told.tolist()
        whole = torch.empty(shape[:axes], dtype=_KINDS[kind], device=device) if value is None else value.contiguous()
        dist.broadcast(whole, origin, group=self.group)
        return whole

    @_together
    def tell(self, numbers: Sequence[int]) -> list[int]:
        """Rank 0's numbers; every rank knows how many."""
        if self.size == 1:
            return list(numbers)
        told = torch.tensor(numbers, dtype=torch.int64)
        dist.broadcast(told, 0, group=self.control)
        return [int(n) for n in told]

    @_together
    def send(self, data: bytes) -> None:
        """Give the other ranks what `receive` returns there."""
        self.tell([len(data)])
        dist.broadcast(torch.frombuffer(bytearray(data), dtype=torch.uint8), 0, group=self.control)

    @_together
    def receive(self) -> bytes:
        """What rank 0 sends next."""
        (size,) = self.tell([0])
        data = torch.empty(size, dtype=torch.uint8)
        dist.broadcast(data, 0, group=self.control)
        return bytes(data.numpy())

    @_together
    def hand(self, data: bytes) -> None:
        """Give rank 0 what `taken` returns there."""
        dist.send(torch.tensor([len(data)]), 0, group=self.control)
        if data:
            dist.send(torch.frombuffer(bytearray(data), dtype=torch.uint8), 0, group=self.control)

    @_together
    def post(self, value: Tensor, to: int) -> "Posted":
        """Send a tensor in host memory to a rank that will `fetch` it, and go on."""
        return Posted(value, dist.isend(value, to, group=self.control))

    @_together
    def fetch(self, value: Tensor, origin: int) -> Tensor:
        """Fill a tensor in host memory with what a rank has posted next, which is as large."""
        dist.recv(value, origin, group=self.control)
        return value

    @_together
    def taken(self, origin: int) -> bytes:
        """What a rank hands to rank 0 next."""
        size = torch.zeros(1, dtype=torch.int64)
        dist.recv(size, origin, group=self.control)
        data = torch.empty(int(size), dtype=torch.uint8)
        if len(data):
            dist.recv(data, origin, group=self.control)
        return bytes(data.numpy())


ALONE = Ranks()


def out_of_step(error: Exception, ranks: Ranks) -> Exception:
    """A fault as what it means here: with other ranks, that they may not have had it."""
    if ranks.size == 1 or isinstance(error, RequestError | OutOfStep):
        return error
    return OutOfStep(f"{type(error).__name__}: {error}")


def join(size: int, place: Place) -> Ranks:
    """Meet the other ranks. Collectives use NCCL where there are GPUs, else gloo."""
    if size == 1:
        return ALONE
    os.environ.setdefault("GLOO_SOCKET_IFNAME", place.interface)
    if place.interface != "lo":
        os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={place.interface}")
        os.environ.setdefault("VLLM_HOST_IP", place.address)
    # transformers and vLLM read these to place a rank and its shards.
    numbers = {"RANK": place.rank, "LOCAL_RANK": place.local_rank, "GROUP_RANK": place.node_rank, "WORLD_SIZE": size}
    os.environ.update({name: str(number) for name, number in numbers.items()})
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(place.local_rank)
    store = _store(size, place)
    dist.init_process_group(backend, store=store, rank=place.rank, world_size=size, timeout=_PATIENCE)
    return Ranks(place.rank, size, dist.new_group(backend="gloo", timeout=_PATIENCE))


def _store(size: int, place: Place) -> dist.Store:
    """Where ranks find each other: torch's own server would listen on every interface, so it is given a socket."""
    if "/" in place.rendezvous:
        return dist.FileStore(place.rendezvous, size)
    host, _, port = place.rendezvous.rpartition(":")
    listener = {} if place.listener is None else {"master_listen_fd": place.listener}
    return dist.TCPStore(host, int(port), size, place.rank == 0, _PATIENCE, wait_for_workers=False, **listener)


def leave() -> None:
    """End what `join` began, before the interpreter does: gloo's threads abort a process that ends under them."""
    if dist.is_initialized():
        # A group that something still refers to keeps its threads, and they must not outlive the interpreter.
        gc.collect()
        dist.destroy_process_group()


def stop_listening(place: Place) -> None:
    """Close the ports that gloo and the store listened on while the ranks met: all pairs are connected, and nobody else shall call.

    The descriptors stay theirs, so they are replaced rather than closed.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    if place.listener is not None:
        os.dup2(nothing, place.listener, inheritable=False)
    # What NCCL listens on it needs.
    tables = ("tcp", "tcp6") if dist.get_backend() == "gloo" else ()
    ours = {inode for table in tables for inode in _listening(Path("/proc/self/net") / table)}
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            if str(entry.readlink()) in ours:
                os.dup2(nothing, int(entry.name), inheritable=False)
    os.close(nothing)


def _listening(table: Path) -> set[str]:
    if not table.exists():
        return set()
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] == _LISTENING}
