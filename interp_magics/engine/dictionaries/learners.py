"""Trainings on all ranks of a group, moved by rank 0: each is a cohort on every rank, and every call of rank 0 is made by all.

Between two calls the ranks are free for other work, so a training is left alone as long as somebody is in a hurry.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Literal, TypeVar

import msgspec
import torch
from msgspec import Struct
from safetensors.torch import load, save
from torch import Tensor

from ...data.training import Reached
from ...errors import RequestError
from ...program.dictionaries import LARGE_BYTES, STATE_BYTES, Recipe
from ..memory import out_of_memory
from ..ranks import Ranks, out_of_step
from .cohort import EVERY, Cohort, Rows
from .states import joined

States = Mapping[int, Mapping[str, Tensor]]
Made = TypeVar("Made")


class Teaching(Struct, frozen=True, forbid_unknown_fields=True):
    """What every rank does with its part of training number `training`: takes in a slice (beginning from it if `recipes` are told, or
    from states that come along if it is `resumed`), goes on for a moment, tells rank 0 how it stands, with all of its `states` or
    without. Before, it lets go of the trainings that are `gone`."""

    training: int
    what: Literal["slice", "go", "tell", "forget"]
    recipes: tuple[Recipe, ...] = ()
    owners: tuple[int, ...] = ()
    resumed: bool = False
    states: bool = False
    gone: tuple[int, ...] = ()


class _Told(Struct, frozen=True):
    """How a rank's part of a training stands; why it cannot go on, and whether that is for want of memory."""

    reached: dict[int, Reached]
    fault: str = ""
    memory: bool = False


Send = Callable[[Teaching, Mapping[str, Tensor]], None]


class Learners:
    """The cohorts of this rank. `begin` and `settle` are of rank 0; the others `follow` what it sends."""

    def __init__(self, ranks: Ranks, device: Callable[[], torch.device], send: Send) -> None:
        self.ranks, self._device, self._send = ranks, device, send
        self._cohorts: dict[int, Cohort] = {}
        self._numbers, self._gone = count(1), list[int]()
        self._tellings: list[tuple[_Told, States]] = []

    def begin(self, recipes: Sequence[Recipe], sizes: Sequence[int], states: States | None = None) -> "Training":
        """A training of dictionaries that have so many parameters; from `states`, if it goes on elsewhere."""
        owners = placed(sizes, self.ranks.size)
        nbytes = 12 * max(loads(sizes, owners, self.ranks.size))
        return Training(self, next(self._numbers), tuple(recipes), owners, nbytes, states)

    def settle(self) -> None:
        """Let go, on every rank, of what has been given up. The others wait for what is sent next."""
        if self._gone:
            self.lead(Teaching(0, "forget"), {}, {})

    def give_up(self, training: int) -> None:
        """A training is over. May be called at any time: the other ranks let go of it when they are next told something."""
        self._cohorts.pop(training, None)
        if self.ranks.size > 1:
            self._gone.append(training)

    def lead(self, teaching: Teaching, rows: Rows, states: States) -> int:
        """Do it on all ranks. How many have more to learn when they went on; how many could not take in a slice."""
        teaching = msgspec.structs.replace(teaching, gone=tuple(self._gone))
        self._gone.clear()
        if self.ranks.size > 1:
            self._send(teaching, packed(rows, states))
        return self._do(teaching, rows, states)

    def follow(self, teaching: Teaching, tensors: Mapping[str, Tensor]) -> None:
        """Do what rank 0 does."""
        self._do(teaching, *unpacked(tensors))

    def told(self, training: int, states: bool, owners: Sequence[int]) -> tuple[list[Reached], list[dict[str, Tensor]]]:
        """How each dictionary does, and if that is asked for all that it has come to. Raises what keeps one of them from going on."""
        self.lead(Teaching(training, "tell", states=states), {}, {})
        tellings, parts = zip(*self._tellings, strict=True)
        self._tellings = []
        for telling in tellings:
            if telling.fault:
                raise MemoryError(telling.fault) if telling.memory else RequestError(telling.fault)
        reached = [tellings[max(0, owner)].reached[number] for number, owner in enumerate(owners)]
        return reached, [_whole(number, owner, parts) for number, owner in enumerate(owners)] if states else []

    def _do(self, teaching: Teaching, rows: Rows, states: States) -> int:
        for number in teaching.gone:
            self._cohorts.pop(number, None)
        try:
            if teaching.what == "slice":
                return self._take(teaching, rows, states)
            if teaching.what == "go":
                return self._go(self._cohorts[teaching.training])
            if teaching.what == "tell":
                self._tell(self._cohorts[teaching.training], teaching.states)
        except Exception as error:
            raise out_of_step(error, self.ranks) from error
        return 0

    def _take(self, teaching: Teaching, rows: Rows, states: States) -> int:
        if teaching.recipes:
            made = Cohort(teaching.recipes, teaching.owners, self.ranks, self._device())
            self._cohorts[teaching.training] = made
            _tried(made, lambda: made.resume(states) if teaching.resumed else made.begin(rows))
        cohort = self._cohorts[teaching.training]
        cohort.take(rows)
        return self.ranks.summed([bool(cohort.fault)])[0]

    def _go(self, cohort: Cohort) -> int:
        more = _tried(cohort, cohort.go)
        left, faults = self.ranks.summed([bool(more), bool(cohort.fault)])
        return 0 if faults else left

    def _tell(self, cohort: Cohort, states: bool) -> None:
        """Every rank to rank 0, which keeps it."""
        told, made = _told(cohort), cohort.states() if states else {}
        if not self.ranks.first:
            self.ranks.hand(msgspec.msgpack.encode(told))
            self.ranks.hand(save(packed({}, made)))
            return
        self._tellings = [(told, made)]
        for rank in range(1, self.ranks.size):
            plain, tensors = self.ranks.taken(rank), self.ranks.taken(rank)
            self._tellings.append((msgspec.msgpack.decode(plain, type=_Told), unpacked(load(tensors))[1]))


class Training:
    """The dictionaries of one training, as rank 0 drives them: by slices, each learned from to its end before the next is taken. It
    holds `nbytes` on the rank that holds most."""

    def __init__(
        self,
        learners: Learners,
        number: int,
        recipes: tuple[Recipe, ...],
        owners: tuple[int, ...],
        nbytes: int,
        states: States | None,
    ) -> None:
        self.recipes, self.nbytes = recipes, nbytes
        self._learners, self._number, self._owners = learners, number, owners
        self._states, self._begun = states, False

    def learn(self, rows: Rows) -> Iterator[None]:
        """All learn from a slice, pausing now and then; without rows they stay as they are. What keeps one from it is told by `reached`."""
        teaching = Teaching(self._number, "slice")
        if not self._begun:
            resumed = self._states is not None
            teaching = Teaching(self._number, "slice", self.recipes, self._owners, resumed)
        faults = self._learners.lead(teaching, rows, self._states or {})
        self._states, self._begun = None, True
        while not faults and self._learners.lead(Teaching(self._number, "go"), {}, {}):
            yield

    def reached(self, states: bool) -> tuple[list[Reached], list[dict[str, Tensor]]]:
        """How each dictionary does, and if that is asked for all that it has come to. Raises RequestError, MemoryError when one cannot
        go on."""
        return self._learners.told(self._number, states, self._owners)

    def give_up(self) -> None:
        """Let go of it, soon."""
        self._learners.give_up(self._number)


def placed(sizes: Sequence[int], ranks: int) -> tuple[int, ...]:
    """Whose each dictionary of so many parameters is: large ones are everybody's, each other one goes, largest first, to the rank that
    has least."""
    if ranks == 1:
        return (0,) * len(sizes)
    load = [0] * ranks
    owners = [EVERY] * len(sizes)
    for number in sorted(range(len(sizes)), key=lambda n: -sizes[n]):
        if STATE_BYTES * sizes[number] <= LARGE_BYTES:
            owners[number] = load.index(min(load))
            load[owners[number]] += sizes[number]
    return tuple(owners)


def loads(sizes: Sequence[int], owners: Sequence[int], ranks: int) -> list[int]:
    """Parameters on each rank."""
    everyones = sum(size // ranks for size, owner in zip(sizes, owners, strict=True) if owner == EVERY)
    mine = [sum(size for size, owner in zip(sizes, owners, strict=True) if owner == rank) for rank in range(ranks)]
    return [everyones + size for size in mine]


def packed(rows: Rows, states: States) -> dict[str, Tensor]:
    """As named tensors that can be sent."""
    made = {f"rows/{site}/{layer}": value.cpu().contiguous() for (site, layer), value in rows.items()}
    return made | {f"states/{n}/{name}": value for n, state in states.items() for name, value in state.items()}


def unpacked(tensors: Mapping[str, Tensor]) -> tuple[dict[tuple[str, int], Tensor], dict[int, dict[str, Tensor]]]:
    """(rows, states) of what was packed."""
    rows: dict[tuple[str, int], Tensor] = {}
    states: dict[int, dict[str, Tensor]] = {}
    for path, value in tensors.items():
        kind, name, rest = path.split("/", 2)
        if kind == "rows":
            rows[name, int(rest)] = value
        else:
            states.setdefault(int(name), {})[rest] = value
    return rows, states


def _tried(cohort: Cohort, call: Callable[[], Made]) -> Made | None:
    """What a call gives; None when the cohort cannot go on. Where ranks take steps together a fault that the others may not have had
    is not a thing to go on from."""
    if cohort.fault:
        return None
    try:
        return call()
    except RequestError as error:
        cohort.fault = str(error)
    except Exception as error:
        if cohort.shares or not out_of_memory(error):
            raise
        cohort.fault, cohort.memory_fault = str(error) or "out of memory", True
    return None


def _told(cohort: Cohort) -> _Told:
    return _Told(cohort.reached(), cohort.fault, cohort.memory_fault)


def _whole(number: int, owner: int, parts: Sequence[States]) -> dict[str, Tensor]:
    if owner == EVERY:
        return joined([part[number] for part in parts])
    return dict(parts[owner][number])
