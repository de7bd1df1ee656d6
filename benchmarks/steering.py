"""Steering: a whole curve beside the loop that runs every point of it alone, steered generation beside plain, and users with
vectors of their own beside one after another."""

from typing import Any

import numpy as np
import torch

from interp_magics.data.vectors import SteeringVector
from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.methods import runs
from interp_magics.methods.steerability.request import Curve, SteerabilityRequest
from interp_magics.program.language import All, Edit, Ids, Last, Positions, Program, Row, Sampling, Stage, Text
from interp_magics.program.operations import Stored
from interp_magics.steering import SCALES

from .checkpoint import reference_engine
from .pairs import interleaved, ratio, write

ITEMS, TOKENS, USERS, NEW = 2, 100, 16, 32


def _ids(draw: np.random.Generator, count: int) -> tuple[int, ...]:
    return tuple(int(i) for i in draw.integers(10, 30000, count))


def _curve(card: Any, vector: SteeringVector, positions: Positions, draw: np.random.Generator) -> SteerabilityRequest:
    texts: list[Text] = []
    for _ in range(ITEMS):
        prompt = _ids(draw, TOKENS)
        texts += [Ids((*prompt, 5)), Ids((*prompt, 6))]
    layers = tuple(range(card.layers))
    named = tuple(Stored(vector.digest, str(layer)) for layer in layers)
    return SteerabilityRequest(tuple(texts), "resid_post", layers, SCALES, (Curve("vector", named),), positions)


def _alone(programs: tuple[Program, ...]) -> list[Program]:
    """Every row of some programs as a program of its own."""
    made = []
    for program in programs:
        (stage,) = program.stages
        for number, row in enumerate(program.rows):
            edits = tuple(Edit(e.site, e.layer, e.op, e.positions) for e in stage.edits if e.rows == (number,))
            made.append(Program((row,), (Stage(stage.taps, edits),)))
    return made


def main() -> None:
    torch.set_num_threads(1)
    engine = reference_engine()
    card, draw = engine.card, np.random.default_rng(1)
    vectors = [
        SteeringVector({x: draw.standard_normal(card.d_model) for x in range(card.layers)}, name=str(i))
        for i in range(USERS)
    ]
    at_one = [vector.at(6) for vector in vectors]
    objects = NoObjects(
        {(v.digest, str(x)): torch.from_numpy(value) for v in (*vectors, *at_one) for x, value in v.directions.items()}
    )

    def run(*tasks: Task) -> None:
        for outcome in collect(engine, tasks):
            if isinstance(outcome, Exception):
                raise outcome

    measured: dict[str, Any] = {}

    for name, positions, target in (("last", Last(), " (floor 5, aim 10)"), ("all", All(), "")):
        request = _curve(card, vectors[0], positions, draw)
        programs = runs.programs(request, engine)
        together = [Task(program, objects) for program in programs]
        apart = [Task(program, objects) for program in _alone(programs)]
        spent = interleaved(
            {
                "curve": lambda together=together: run(*together),
                "loop": lambda apart=apart: [run(task) for task in apart],
            },
            rounds=3,
        )
        times = float(np.median(spent["loop"] / spent["curve"]))
        measured[f"curve of {card.layers} layers x 7 scales, {TOKENS} tokens, edits at {name}: loop / ours{target}"] = (
            times
        )

    def generation(user: int | None) -> Task:
        edits = () if user is None else tuple(one.edit for one in at_one[user].edit(2.0))
        return Task(
            Program((Row(Ids(_ids(np.random.default_rng(user or 0), 24)), Sampling(NEW)),), (Stage((), edits),)),
            objects,
        )

    plain, steered = generation(None), generation(0)
    pairs = interleaved({"plain": lambda: run(plain), "steered": lambda: run(steered)}, rounds=15)
    measured["steered generation / plain"] = {**ratio(pairs["steered"], pairs["plain"]), "floor": 1.03, "aim": 1.0}

    users = [generation(user) for user in range(USERS)]
    spent = interleaved(
        {"together": lambda: run(*users), "in turn": lambda: [run(user) for user in users]},
        rounds=7,
    )
    speedup = float(np.median(spent["in turn"] / spent["together"]))
    measured[f"{USERS} users with vectors of their own: together / in turn (floor 5, aim 8)"] = speedup
    write("steering", measured)


if __name__ == "__main__":
    main()
