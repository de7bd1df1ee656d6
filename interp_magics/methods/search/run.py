"""A differential search on a worker."""

from collections.abc import Generator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...data.feature_search import FeatureSearch, SearchMeta, encode
from ...engine.protocol import Engine, Objects, Outcome
from ...errors import RequestError
from ...program.language import Program
from ..features import plan as features
from ..features.run import encoder, rows
from ..finish import provenance
from . import plan
from .request import SearchRequest

_AT_ONCE = 4096
#: Digits of an activation that do not depend on which texts share a pass.
_DIGITS = 4


def programs(request: SearchRequest, engine: Engine) -> tuple[Program, ...]:
    """One for each text. Raises RequestError for a text that is longer than the context."""
    return tuple(features.program(plan.reading(request), text) for text in request.texts)


def steps(
    request: SearchRequest, outcomes: Sequence[Outcome], engine: Engine, objects: Objects
) -> Generator[None, None, bytes]:
    """Latents of text after text, then the comparison; pauses in between."""
    encode_rows, _ = encoder(plan.reading(request), objects, engine.device)
    found = []
    for number, outcome in enumerate(outcomes):
        x, _ = rows(outcome, engine)
        if not len(x):
            raise RequestError(f"text {number} of the list has no tokens but special ones")
        with torch.inference_mode():
            found.append(_over(encode_rows(x.to(engine.device, torch.float32)), request.over).cpu().numpy())
        yield
    values = np.stack(found)
    statistics = []
    for start in range(0, values.shape[1], _AT_ONCE):
        some = values[:, start : start + _AT_ONCE]
        statistics.append(compare(some[: request.positive], some[request.positive :]))
        yield
    columns = {name: np.concatenate([part[name] for part in statistics]) for name in statistics[0]}
    columns["q"] = _discovery_rate(columns["p"])
    digest = request.dictionary.weights[0].digest if request.dictionary else ""
    brief = SearchRequest((), request.positive, request.site, request.layer, request.dictionary, request.over)
    counts = (request.positive, len(request.texts) - request.positive)
    meta = SearchMeta(request.site, request.layer, digest, request.over, counts, provenance(brief, engine))
    return encode(FeatureSearch(meta, columns))


def _over(f: Tensor, over: str) -> Tensor:
    if over == "max":
        return f.amax(0)
    return f.mean(0) if over == "mean" else f[-1]


def rounded(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """To four digits, so that what a pass may err by rarely decides an order: of each value, and of values that are smaller to the place of
    the fourth digit of their column's median, of those that are not 0. An outlier takes no digit from the others."""
    sizes = np.abs(values, dtype=np.float64)
    quiet = ~sizes.any(0)
    least = np.nanmedian(np.where(quiet, 1.0, np.where(sizes > 0, sizes, np.nan)), axis=0)
    step = 10.0 ** (np.floor(np.log10(np.maximum(sizes, least))) + 1 - _DIGITS)
    return np.asarray(np.round(values / step) * step)


def compare(positive: npt.NDArray[np.float32], negative: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float64]]:
    """Of every column of [n, m] and [k, m]: the probability that a positive text has more of it than a negative one (ties count
    half), Mann and Whitney's two-sided p, the means and the shares of texts in which it is active at all. They are ranked as `rounded`."""
    from scipy.stats import mannwhitneyu

    ranked = rounded(np.concatenate([positive, negative]))
    varies = ranked.std(0) > 0
    area, p = np.full(positive.shape[1], 0.5), np.ones(positive.shape[1])
    if varies.any():
        sides = ranked[: len(positive), varies], ranked[len(positive) :, varies]
        found = mannwhitneyu(*sides, axis=0, method="asymptotic")
        area[varies] = found.statistic / (len(positive) * len(negative))
        p[varies] = found.pvalue
    return {
        "area": area,
        "p": p,
        "mean_positive": positive.mean(0, dtype=np.float64),
        "mean_negative": negative.mean(0, dtype=np.float64),
        "active_positive": (positive > 0).mean(0),
        "active_negative": (negative > 0).mean(0),
    }


def _discovery_rate(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p, method="bh"))
