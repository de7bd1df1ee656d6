"""What is asked of a model, from wherever a user has it: question files, Questions, pairs of texts; and at which scales."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .data.questions import Questions, questions, read_questions
from .errors import RequestError


def pairs(items: Any) -> list[tuple[Any, Any]]:
    """Pairs of texts that end in the favoured and in the other answer. Raises RequestError for what is no item."""
    given = items if isinstance(items, str | Path | Questions) else list(items) if isinstance(items, Iterable) else None
    if given is None:
        raise RequestError(f"items are a question file, Questions, or pairs of texts, not {type(items).__name__}")
    if isinstance(given, str | Path | Questions) or (given and all(isinstance(one, Mapping) for one in given)):
        return as_questions(given).pairs()
    for number, one in enumerate(given):
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise RequestError(f"item {number} is no pair of texts, one for each answer")
    return [(one[0], one[1]) for one in given]


def as_questions(items: Any) -> Questions:
    """Questions from wherever they are; rows that are left out are told of."""
    if isinstance(items, Questions):
        return items
    found = read_questions(items) if isinstance(items, str | Path) else questions(list(items))
    if found.unusable:
        warnings.warn(repr(found), stacklevel=4)
    return found


def scales(given: Sequence[float]) -> tuple[float, ...]:
    """Raises RequestError for what is no list of finite numbers."""
    try:
        made = np.asarray(given, np.float64)
    except (ValueError, TypeError):
        raise RequestError(f"scales are finite numbers in a list, not {given!r}") from None
    if made.ndim != 1 or not np.isfinite(made).all():
        raise RequestError(f"scales are finite numbers in a list, not {given!r}")
    return tuple(float(scale) for scale in made)
