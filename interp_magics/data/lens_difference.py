"""Two runs of a lens, cell by cell: steered and plain, two prompts, two models with one tokenizer."""

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import RequestError
from .lens_run import Floats, Ints, LensRun
from .view import Viewed

if TYPE_CHECKING:
    import pandas as pd

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False, repr=False)
class LensDifference(Viewed):
    """`delta` [S, L, T]: the log-probability of the run's top token in each cell, minus that of the same token in the base, nats.

    Where the base's top k does not have the token, `exact` is False and the difference is at least `delta`. `base_rows` [T] and
    `base_layers` [L] say which of the base's positions and layers stand beside those of the run; positions that have no
    counterpart are -1, and nan in `delta`.
    """

    run: LensRun
    base: LensRun
    base_rows: Ints
    base_layers: Ints
    delta: Floats
    exact: Bools

    def to_pandas(self) -> "pd.DataFrame":
        """One row per site, layer and position that has a counterpart."""
        frame = self.run.to_pandas().query("order == 0").drop(columns="order").reset_index(drop=True)
        return frame.assign(difference=self.delta.ravel(), exact=self.exact.ravel()).dropna(subset="difference")

    def __repr__(self) -> str:
        compared = int((self.base_rows >= 0).sum())
        return (
            f"LensDifference({self.run!r} minus {self.base!r}: {compared} of {len(self.base_rows)} positions compared)"
        )


def difference(run: LensRun, base: LensRun) -> LensDifference:
    """`run` minus `base`, which must have decoded the same sites with one tokenizer.

    Positions of the same prompt stand beside each other; of two prompts those of the tokens that they share, and of as many that
    were exchanged for them. Generated tokens stand in the order in which they came. Layers of models of different depth stand
    at the same share of it. Raises RequestError.
    """
    missing = [site for site in run.sites if site not in base.sites]
    if missing:
        raise RequestError(f"the base did not decode {', '.join(missing)}; decode the same sites in both")
    if run.meta.vocabulary != base.meta.vocabulary:
        raise RequestError("the runs are of models with different tokenizers, whose tokens cannot be compared")
    rows, layers = _rows(run, base), _layers(run, base)
    delta = np.full(run.top_ids.shape[:3], np.nan, np.float32)
    exact = np.zeros(delta.shape, np.bool_)
    there = np.flatnonzero(rows >= 0)
    for place, site in enumerate(run.sites):
        other = base.site_index(site)
        ids = base.top_ids[other][layers][:, rows[there]]
        logprobs = base.top_logprobs[other][layers][:, rows[there]]
        wanted = run.top_ids[place][:, there, :1]
        found = ids == wanted
        known = found.any(-1)
        theirs = np.where(known, np.where(found, logprobs, 0).sum(-1), logprobs[..., -1])
        delta[place][:, there] = run.top_logprobs[place][:, there, 0] - theirs
        exact[place][:, there] = known
    return LensDifference(run, base, rows, layers, delta, exact)


def _rows(run: LensRun, base: LensRun) -> Ints:
    """For each decoded position of the run the row of its counterpart in the base, or -1."""
    mine, theirs = run.meta.prompt_length, base.meta.prompt_length
    pairs = dict(_aligned(run.token_ids[:mine].tolist(), base.token_ids[:theirs].tolist()))
    generated = min(len(run.token_ids) - mine, len(base.token_ids) - theirs)
    pairs |= {mine + step: theirs + step for step in range(generated)}
    row_of = {int(position): row for row, position in enumerate(base.positions)}
    return np.array([row_of.get(pairs.get(int(p), -1), -1) for p in run.positions], np.int32)


def _aligned(mine: list[int], theirs: list[int]) -> list[tuple[int, int]]:
    """Pairs of positions of the same tokens, and of runs of tokens of one length that stand for each other."""
    pairs: list[tuple[int, int]] = []
    for kind, start, stop, other, end in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        if kind == "equal" or (kind == "replace" and stop - start == end - other):
            pairs += zip(range(start, stop), range(other, end), strict=True)
    return pairs


def _layers(run: LensRun, base: LensRun) -> Ints:
    """For each layer of the run the place of its counterpart among the base's."""
    if set(run.layers) <= set(base.layers) and run.provenance.digest == base.provenance.digest:
        return np.array([base.layers.index(layer) for layer in run.layers], np.int32)
    share = np.array(run.layers) / max(1, run.layers[-1]) * max(1, base.layers[-1])
    nearest: Ints = np.abs(np.array(base.layers)[None] - share[:, None]).argmin(1).astype(np.int32)
    return nearest
