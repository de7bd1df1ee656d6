"""What rank 0 tells the other ranks to run: programs as data, the tensors that they name as safetensors. Never pickle."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from safetensors.torch import load, save
from torch import Tensor

from ...program.language import Program, stored
from ...program.operations import Stored
from ..dictionaries.learners import Teaching
from ..protocol import HeldRow, HeldSite, NoObjects, Objects, RowOutcome, Task
from ..ranks import Ranks


class _Held(msgspec.Struct, frozen=True):
    """A held row without its values, which travel as tensors numbered like `sites`."""

    number: int
    token_ids: tuple[int, ...]
    prompt_length: int
    completion_ids: tuple[int, ...]
    finish: str
    sites: tuple[tuple[str, int, tuple[int, ...]], ...]


class _Plan(msgspec.Struct, frozen=True):
    """One call of the engine; without programs, effects and teaching, the end of the group's work."""

    programs: tuple[Program, ...]
    vectors: tuple[Stored, ...] = ()
    held: _Held | None = None
    effects: int = 0
    teaching: Teaching | None = None


@dataclass(frozen=True)
class Call:
    """A call as every rank has it: tasks to run, a row to read again, `effects` of directions, so many of each, or what is done with a
    training; with `tensors`."""

    tasks: list[Task] = field(default_factory=list)
    held: HeldRow | None = None
    effects: int = 0
    teaching: Teaching | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def carried(program: Program, objects: Objects) -> NoObjects:
    """The vectors of a program, in hand. Raises what the store raises for one that it does not have."""
    return NoObjects({(v.digest, v.name): objects.tensor(v.digest, v.name) for v in stored(program)})


def send(ranks: Ranks, tasks: list[Task], held: HeldRow | None = None) -> None:
    """Tell the other ranks, if there are any; the objects of the tasks are in hand."""
    if ranks.size == 1:
        return
    vectors = sorted({v for task in tasks for v in stored(task.program)}, key=lambda v: (v.digest, v.name))
    tensors: dict[str, Tensor] = {}
    for i, vector in enumerate(vectors):
        owner = next(task for task in tasks if vector in stored(task.program))
        tensors[f"v{i}"] = owner.objects.tensor(vector.digest, vector.name).contiguous()
    row = None
    if held is not None:
        sites = [(site, layer, one.positions) for (site, layer), one in held.sites.items()]
        tensors |= {f"h{i}": one.values.contiguous() for i, one in enumerate(held.sites.values())}
        o = held.outcome
        row = _Held(o.number, o.token_ids, o.prompt_length, o.completion_ids, o.finish, tuple(sites))
    ranks.send(msgspec.msgpack.encode(_Plan(tuple(task.program for task in tasks), tuple(vectors), row)))
    if tasks:
        ranks.send(save(tensors))


def send_directions(ranks: Ranks, directions: Tensor, k: int) -> None:
    """Tell the other ranks to work out effects with this one."""
    if ranks.size > 1:
        ranks.send(msgspec.msgpack.encode(_Plan((), effects=k)))
        ranks.send(save({"directions": directions.contiguous()}))


def send_teaching(ranks: Ranks, teaching: Teaching, tensors: Mapping[str, Tensor]) -> None:
    """Tell the other ranks what to do with a training."""
    ranks.send(msgspec.msgpack.encode(_Plan((), teaching=teaching)))
    ranks.send(save(dict(tensors)))


def end(ranks: Ranks) -> None:
    """Tell the other ranks that there is no more."""
    ranks.send(msgspec.msgpack.encode(_Plan(())))


def receive(ranks: Ranks) -> Call | None:
    """What rank 0 sent next; None at the end."""
    plan = msgspec.msgpack.decode(ranks.receive(), type=_Plan)
    if plan.effects or plan.teaching is not None:
        return Call(effects=plan.effects, teaching=plan.teaching, tensors=load(ranks.receive()))
    if not plan.programs:
        return None
    tensors = load(ranks.receive())
    objects = NoObjects({(v.digest, v.name): tensors[f"v{i}"] for i, v in enumerate(plan.vectors)})
    tasks = [Task(program, objects) for program in plan.programs]
    return Call(tasks, None if plan.held is None else _held(plan.held, tasks[0].program, tensors))


def _held(row: _Held, program: Program, tensors: dict[str, Tensor]) -> HeldRow:
    outcome = RowOutcome(row.number, row.token_ids, row.prompt_length, row.completion_ids, row.finish)
    sites = {(site, layer): HeldSite(at, tensors[f"h{i}"]) for i, (site, layer, at) in enumerate(row.sites)}
    return HeldRow(outcome, program.stages[0].edits, sites)
