"""What every execution engine offers to a worker, and what it asks of the worker in return."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import torch
from torch import Tensor

from ..program.cards import ModelCard
from ..program.handles import Handle
from ..program.language import Edit, Program
from .dictionaries.learners import Learners
from .lens import LensArrays
from .ranks import OutOfStep as OutOfStep
from .tokens import Tokens

#: After one of these nothing more can be computed in the process. (torch has named them since 2.8.)
DEVICE_FAULTS: tuple[type[Exception], ...] = (
    OutOfStep,
    *(fault for name in ("AcceleratorError",) if (fault := getattr(torch, name, None)) is not None),
)


class Objects(Protocol):
    """Stored tensors by digest and name."""

    def tensor(self, digest: str, name: str) -> Tensor:
        """A stored tensor. Raises RequestError when the object has no tensor of that name."""
        ...


class Wish(IntEnum):
    """What a host wants between two steps of a run: nothing, the engine for other work, or that tasks join the run."""

    GO_ON = 0
    PAUSE = 1
    JOIN = 2


class Room(Protocol):
    """What a run can still take in."""

    def take(self, programs: Sequence[Program]) -> bool:
        """Whether the programs may join together; if so, their room is taken."""
        ...


class Host(Protocol):
    """What drives an engine: asked at every step whether a task was cancelled and what it wants, told what was generated,
    what lenses that stream have decoded since they told last, and what became of each task as soon as it ends.

    In `pause` it may run other work on the engine; the rows of the present run stay where they are. `joining` gives tasks
    for which there is room; they have the numbers after all that the run has had so far.
    """

    def cancelled(self, task: int) -> bool: ...

    def generated(self, task: int, row: int, completion: Sequence[int]) -> None: ...

    def decoded(self, task: int, rows: Sequence["RowOutcome"], readings: Sequence["Reading"]) -> None: ...

    def finished(self, task: int, result: "Outcome | Exception") -> None: ...

    def wish(self, joins: bool) -> Wish:
        """What the host wants; never that tasks join unless the run `joins` them."""
        ...

    def pause(self) -> None: ...

    def joining(self, room: Room) -> Sequence["Task"]: ...


class Quiet:
    """A host that cancels nothing and wants nothing."""

    def cancelled(self, task: int) -> bool:
        return False

    def generated(self, task: int, row: int, completion: Sequence[int]) -> None:
        return None

    def decoded(self, task: int, rows: Sequence["RowOutcome"], readings: Sequence["Reading"]) -> None:
        return None

    def finished(self, task: int, result: "Outcome | Exception") -> None:
        return None

    def wish(self, joins: bool) -> Wish:
        return Wish.GO_ON

    def pause(self) -> None:
        return None

    def joining(self, room: Room) -> Sequence["Task"]:
        return ()


class Collecting(Quiet):
    """A host that keeps the result of every task by its number."""

    def __init__(self) -> None:
        self.results: dict[int, Outcome | Exception] = {}

    def finished(self, task: int, result: "Outcome | Exception") -> None:
        self.results[task] = result


#: The values of one tap for one row: raw values [L, T, ...], coordinates [L, T, n], or moments.
RowValues = Mapping[str, Tensor] | LensArrays


@dataclass(frozen=True)
class Reading:
    """What one tap gave: for each of its rows (`rows`, in order) the chosen `positions` and the values at `layers`."""

    rows: tuple[int, ...]
    layers: tuple[int, ...]
    positions: tuple[tuple[int, ...], ...]
    values: tuple[RowValues, ...]


@dataclass(frozen=True)
class RowOutcome:
    """Finished row `number` of a program: T = P + N - 1 tokens that were read, the N sampled ones, why it ended."""

    number: int
    token_ids: tuple[int, ...]
    prompt_length: int
    completion_ids: tuple[int, ...]
    finish: str


@dataclass(frozen=True)
class HeldSite:
    """Values [positions, ...] of one site and layer, and which positions they are."""

    positions: tuple[int, ...]
    values: Tensor


@dataclass(frozen=True)
class HeldRow:
    """A row that outlives its program: how it ended, the edits that it ran under, values by (canonical site, layer)."""

    outcome: RowOutcome
    edits: tuple[Edit, ...]
    sites: Mapping[tuple[str, int], HeldSite]

    @property
    def nbytes(self) -> int:
        return sum(site.values.nbytes for site in self.sites.values())


@dataclass(frozen=True)
class GradientReading:
    """The metric of each row (`rows`, in order), and what each tap of the gradient read of its derivative."""

    rows: tuple[int, ...]
    metric: tuple[float, ...]
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Outcome:
    """What a program gave: its rows after the last stage, and for each stage the readings of the taps that reduce and
    its gradients.

    `held` are rows of which the last stage kept something; `handles` say where they are found, once they are stored;
    `reread` says that no pass was run.
    """

    rows: tuple[RowOutcome, ...]
    readings: tuple[tuple[Reading, ...], ...]
    gradients: tuple[tuple[GradientReading, ...], ...] = ()
    held: tuple[HeldRow, ...] = ()
    handles: tuple[Handle, ...] = ()
    reread: bool = False


@dataclass(frozen=True)
class Task:
    """A program with its vectors, ready to run."""

    program: Program
    objects: Objects


@dataclass
class NoObjects:
    """A store without anything in it, for programs that name no vectors."""

    tensors: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    def tensor(self, digest: str, name: str) -> Tensor:
        return self.tensors[digest, name]


class Engine(Protocol):
    """A model that runs programs. `prepare` checks everything that needs the tokenizer, before any pass."""

    card: ModelCard

    @property
    def tokens(self) -> Tokens: ...

    @property
    def device(self) -> torch.device:
        """Where a method computes with what was read: where the model's head is."""
        ...

    def run(self, tasks: Sequence[Task], host: Host) -> None:
        """Run the programs, sharing passes between them; the host is told one result or error for each, in the order in
        which they end. A cancelled task gives Cancelled."""
        ...

    def reread(self, task: Task, held: HeldRow) -> Outcome | None:
        """Answer a program of one row from what was kept of that row; None when it needs a pass."""
        ...

    @property
    def learners(self) -> Learners:
        """Where dictionaries are trained."""
        ...

    def effects(self, directions: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Of directions of the stream [n, d] the k tokens that each promotes most in the logits, and the k that it suppresses:
        ids and values [n, 2k]."""
        ...


def collect(engine: Engine, tasks: Sequence[Task], host: Collecting | None = None) -> list[Outcome | Exception]:
    """What becomes of every task, in the order given; of those that joined afterwards."""
    host = host or Collecting()
    engine.run(tasks, host)
    return [host.results[number] for number in sorted(host.results)]
