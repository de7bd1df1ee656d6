"""Trainings over several ranks, as real processes: `teach_on` gives what rank 0 is told of each lesson.

Run as `python -m tests.engine.taught RANK SIZE DIRECTORY`: reads DIRECTORY/lessons, and rank 0 writes DIRECTORY/told.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interp_magics.data.training import Reached
from interp_magics.engine import ranks as group
from interp_magics.engine.dictionaries import learners
from interp_magics.engine.dictionaries.learners import Learners
from interp_magics.engine.execution import calls
from interp_magics.errors import RequestError
from interp_magics.launch.config import Place
from interp_magics.program.dictionaries import Recipe

CPU = torch.device("cpu")


@dataclass
class Lesson:
    """Slices that some dictionaries learn from, which are shared out if they are `large`; from states, if there are any. `left` after
    that many moments it is given up."""

    recipes: Sequence[Recipe]
    slices: Sequence[Mapping[tuple[str, int], Tensor]]
    large: bool = False
    states: Sequence[dict[str, Tensor]] | None = None
    left: int | None = None


Told = tuple[list[Reached], list[dict[str, Tensor]]]


def teach(learning: Learners, lesson: Lesson) -> Told | str:
    """How it ended, or why it could not."""
    learners.LARGE_BYTES = 0 if lesson.large else 1 << 30
    states = None if lesson.states is None else dict(enumerate(lesson.states))
    training = learning.begin(lesson.recipes, [recipe.latents for recipe in lesson.recipes], states)
    try:
        for rows in lesson.slices:
            for number, _ in enumerate(training.learn(rows), 1):
                if number == lesson.left:
                    return "left"
        return training.reached(True)
    except RequestError as error:
        return str(error)
    finally:
        training.give_up()
        learning.settle()


def alone(lesson: Lesson) -> Told | str:
    """On one rank, in this process."""
    return teach(Learners(group.ALONE, lambda: CPU, lambda teaching, tensors: None), lesson)


def teach_on(size: int, directory: Path, lessons: Sequence[Lesson]) -> list[Any]:
    """On `size` ranks."""
    torch.save(list(lessons), directory / "lessons")
    here = [sys.executable, "-m", "tests.engine.taught"]
    started = [subprocess.Popen([*here, str(rank), str(size), str(directory)]) for rank in range(size)]
    try:
        assert [process.wait(240) for process in started] == [0] * size
    finally:
        for process in started:
            process.kill()
            process.wait()
    return torch.load(directory / "told", weights_only=False)


def main(rank: int, size: int, directory: Path) -> None:
    torch.set_num_threads(1)
    ranks = group.join(size, Place(rank=rank, local_rank=rank, rendezvous=str(directory / "rendezvous")))
    learning = Learners(ranks, lambda: CPU, partial(calls.send_teaching, ranks))
    if ranks.first:
        lessons = torch.load(directory / "lessons", weights_only=False)
        torch.save([teach(learning, lesson) for lesson in lessons], directory / "told")
        calls.end(ranks)
    else:
        while (call := calls.receive(ranks)) is not None:
            learning.follow(call.teaching, call.tensors)
        assert not learning._cohorts
    group.leave()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
