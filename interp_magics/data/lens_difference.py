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
    `base_layers` [L] say which places of the base's positions and layers stand beside those of the run; what has no counterpart
    is -1 there, and nan in `delta`.
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
    were exchanged for them. Generated tokens stand in the order in which they came. A layer stands beside the same one, of a model of
    another depth beside the one at the same share of it, if that was decoded. Raises RequestError.
    """
    missing = [site for site in run.sites if site not in base.sites]
    if missing:
        raise RequestError(f"the base did not decode {', '.join(missing)}; decode the same sites in both")
    if run.meta.vocabulary != base.meta.vocabulary:
        raise RequestError("the runs are of models with different tokenizers, whose tokens cannot be compared")
    rows, layers = _rows(run, base), _layers(run, base)
    if not (rows >= 0).any() or not (layers >= 0).any():
        raise RequestError("the runs have no position, or no layer, in common; decode the same ones in both")
    delta = np.full(run.top_ids.shape[:3], np.nan, np.float32)
    exact = np.zeros(delta.shape, np.bool_)
    mine = np.ix_(np.flatnonzero(layers >= 0), np.flatnonzero(rows >= 0))
    theirs = np.ix_(layers[layers >= 0], rows[rows >= 0])
    for place, site in enumerate(run.sites):
        other = base.site_index(site)
        ids, logprobs = base.top_ids[other][theirs], base.top_logprobs[other][theirs]
        found = ids == run.top_ids[place][mine][..., :1]
        known = found.any(-1)
        same = np.where(known, np.where(found, logprobs, 0).sum(-1), logprobs[..., -1])
        delta[place][mine] = run.top_logprobs[place][mine][..., 0] - same
        exact[place][mine] = known
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
    """For each layer of the run the place of its counterpart among the base's, or -1."""
    place_of = {layer: place for place, layer in enumerate(base.layers)}
    mine, theirs = run.meta.depth, base.meta.depth
    beside = list(run.layers)
    if mine > 1 and theirs > 1 and mine != theirs:
        beside = [round(layer / (mine - 1) * (theirs - 1)) for layer in run.layers]
    return np.array([place_of.get(layer, -1) for layer in beside], np.int32)
