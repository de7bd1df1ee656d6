"""Directions that separate two sets of activations, and how well each does: numpy in float64, nothing else."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .request import FitMethod

Values = npt.NDArray[np.float64]

_FOLDS = 5


def mean_difference(positive: Values, negative: Values) -> Values:
    """mean(positive) - mean(negative) of [n, d] and [m, d]."""
    difference: Values = positive.mean(0) - negative.mean(0)
    return difference


def logistic(positive: Values, negative: Values) -> Values:
    """The normal of a regularised logistic regression, as long as the mean difference."""
    from sklearn.linear_model import LogisticRegression

    values = np.concatenate([positive, negative])
    scale = values.std() or 1.0
    fitted = LogisticRegression(max_iter=1000).fit(
        (values - values.mean(0)) / scale, np.repeat([1, 0], [len(positive), len(negative)])
    )
    return _as_long(fitted.coef_[0], mean_difference(positive, negative))


def pca(positive: Values, negative: Values) -> Values:
    """The first right singular vector of the differences of pairs, which are not centred: their mean is the signal. It is as
    long as the mean difference, and on its side."""
    _, _, components = np.linalg.svd(positive - negative, full_matrices=False)
    return _as_long(components[0], mean_difference(positive, negative))


def _as_long(direction: Values, mean: Values) -> Values:
    length = np.linalg.norm(direction)
    side = np.sign(direction @ mean) or 1.0
    return direction * (side * np.linalg.norm(mean) / length) if length > 0 else direction


FITS: Mapping[FitMethod, Callable[[Values, Values], Values]] = {
    "mean_difference": mean_difference,
    "logistic": logistic,
    "pca": pca,
}


def shuffled(positive: Values, negative: Values, method: FitMethod, length: float, seed: int = 0) -> Values:
    """A direction of that length fitted after half of the texts have changed sides: what the same recipe finds in noise.

    Exactly half, or a part of the truth would be left in it. For pca the pairs are broken as well: turning a pair round
    changes only the sign of its difference, and no principal component.
    """
    draw = np.random.default_rng(seed)
    if len(positive) == len(negative) and method != "pca":
        kept = draw.permutation(len(positive))[: len(positive) // 2 * 2]
        swap = (np.arange(len(kept)) % 2 == 0)[:, None]
        positive, negative = positive[kept], negative[kept]
        one, other = np.where(swap, negative, positive), np.where(swap, positive, negative)
    else:
        both = draw.permutation(np.concatenate([positive, negative]))
        one, other = both[: len(positive)], both[len(positive) :]
    found = FITS[method](one, other)
    size = np.linalg.norm(found)
    return found * (length / size) if size > 0 else found


def diagnostics(
    positive: Values, negative: Values, direction: Values, norm: float, method: FitMethod, paired: bool
) -> dict[str, float | None]:
    """How well a direction separates, and how far it may be trusted (`SteeringVector.diagnostics` says what each means);
    None where too few texts tell. `norm` is the mean norm of the values."""
    length = float(np.linalg.norm(direction))
    unit = direction / length if length > 0 else direction
    found: dict[str, Any] = {"norm": length, "relative_norm": length / norm if norm > 0 else np.nan}
    found["separation"] = _separation(positive @ unit, negative @ unit)
    found["accuracy"] = _held_out(positive, negative, method, paired)
    if paired:
        difference = positive - negative
        lengths = np.linalg.norm(difference, axis=1)
        cosines = difference @ unit / np.where(lengths > 0, lengths, 1.0)
        found |= {"cosine": cosines.mean(), "cosine_spread": cosines.std()}
    return {name: float(value) if np.isfinite(value) else None for name, value in found.items()}


def _separation(one: Values, other: Values) -> float:
    pooled = np.sqrt((one.var(ddof=1) + other.var(ddof=1)) / 2)
    return float((one.mean() - other.mean()) / pooled) if pooled > 0 else float("inf")


def _held_out(positive: Values, negative: Values, method: FitMethod, paired: bool) -> float:
    """Accuracy over folds; the members of a pair are in the same one."""
    right = total = 0
    folds = min(_FOLDS, len(positive), len(negative))
    draw = np.random.default_rng(0)
    orders = [draw.permutation(len(side)) for side in (positive, negative)]
    if paired:
        orders[1] = orders[0]
    for fold in range(folds):
        held = [order[fold::folds] for order in orders]
        trained = [np.delete(side, out, 0) for side, out in zip((positive, negative), held, strict=True)]
        if min(map(len, trained)) < 1 or (method == "logistic" and min(map(len, trained)) < 2):
            continue
        direction = FITS[method](*trained)
        middle = (trained[0].mean(0) + trained[1].mean(0)) / 2 @ direction
        right += int((positive[held[0]] @ direction > middle).sum() + (negative[held[1]] @ direction < middle).sum())
        total += len(held[0]) + len(held[1])
    return right / total if total else float("nan")
