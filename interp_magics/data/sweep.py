"""Dictionaries side by side: what was asked of each, how its training went, what it is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import RequestError
from .dictionary import Dictionary
from .view import Viewed

ASKED = ("site", "layer", "architecture", "latents", "k", "sparsity")
WORTH = ("fvu", "l0", "dead", "ce_score", "kl")
_COUNTED = ("topk", "batch_topk", "matryoshka")


@dataclass(frozen=True, eq=False, repr=False)
class Course:
    """One training: what was `asked` of it (site, layer, architecture, latents, k or sparsity), a row of its `history` for each
    slice, and the `worth` that an evaluation found, where one was noted."""

    asked: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    worth: Mapping[str, float]


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(Viewed):
    """Trainings to compare; `total` tokens each, and whether they are still `running`."""

    courses: tuple[Course, ...]
    total: int
    running: bool = False

    def table(self) -> Any:
        """A row for each: what was asked; FVU, L0 and dead share over its last slice; and, where an evaluation was noted
        (`sae.note(pool.evaluate_sae(…))`), the same and more on the texts of that evaluation ("held out")."""
        import pandas as pd

        rows = []
        for course in self.courses:
            last = course.history[-1] if course.history else {}
            row = dict(course.asked) | {f"{name} in training": last.get(name) for name in ("fvu", "l0", "dead")}
            rows.append(row | {f"{name} held out": course.worth[name] for name in WORTH if name in course.worth})
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return f"Sweep({len(self.courses)} dictionaries, {self.total:,} tokens)"


def sweep(dictionaries: Sequence[Dictionary]) -> Sweep:
    """Dictionaries that were trained on a pool, to compare. Raises RequestError when there is none, or one that does not say how it
    was trained."""
    if not dictionaries:
        raise RequestError("there is no dictionary to compare")
    courses = tuple(_course(one) for one in dictionaries)
    return Sweep(courses, max(one.made_from["recipe"]["tokens"] for one in dictionaries))


def asked_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe asks for, by name: k of those whose sparsity is a count, lambda of the others."""
    counted = recipe["architecture"] in _COUNTED
    return {name: recipe[name] for name in ASKED if name != ("sparsity" if counted else "k")}


def _course(one: Dictionary) -> Course:
    recipe = one.made_from.get("recipe")
    if recipe is None:
        raise RequestError(f"{one!r} does not say how it was trained; only what a pool has trained can be compared")
    worth = one.made_from.get("manifest", {}).get("metrics", {})
    return Course(asked_of(recipe), tuple(one.made_from.get("history", ())), worth)
