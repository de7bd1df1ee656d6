"""Numbers that a user gives."""

import math

import numpy as np

from ..errors import RequestError


def integer(name: str, given: object) -> int:
    """Raises RequestError for what is no whole number."""
    if isinstance(given, bool) or not isinstance(given, int | np.integer):
        raise RequestError(f"{name} is a whole number, not {given!r}")
    return int(given)


def real(name: str, given: object) -> float:
    """Raises RequestError for what is no number."""
    if isinstance(given, bool) or not isinstance(given, int | float | np.integer | np.floating):
        raise RequestError(f"{name} is a number, not {given!r}")
    return float(given)


def finite(name: str, given: object) -> float:
    """Raises RequestError for infinity, NaN, and what is no number."""
    made = real(name, given)
    if not math.isfinite(made):
        raise RequestError(f"{name} must be a finite number, not {made}")
    return made
