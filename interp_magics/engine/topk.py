"""Exact top-k of wide tiles, ordered by (-value, column), so that ties never depend on how the work was cut."""

from torch import Tensor

_BLOCK = 32


def tile_top(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Top `k` of each row of `values` [n, v]: values and columns [n, k], by (-value, column).

    The row is seen as strided blocks of 32; only the k + 1 blocks with the largest maxima are searched. What lies outside
    them is at most the smallest of those maxima, so the result is exact unless that maximum equals the k-th value, or two
    of the values found are equal; such rows are sorted in full.
    """
    width = values.shape[1]
    blocks = width // _BLOCK
    if blocks * _BLOCK != width or blocks < 4 * (k + 1):
        return _sorted_top(values, k)
    view = values.view(values.shape[0], _BLOCK, blocks)
    maxima, chosen = view.amax(1).topk(k + 1, dim=1)
    candidates = view.gather(2, chosen.unsqueeze(1).expand(-1, _BLOCK, -1)).flatten(1)
    found, places = candidates.topk(k + 1, dim=1)
    columns = (places // (k + 1)) * blocks + chosen.gather(1, places % (k + 1))
    tied = (found[:, :-1] == found[:, 1:]).any(1) | (maxima[:, k] >= found[:, k - 1])
    top, top_columns = found[:, :k].contiguous(), columns[:, :k].contiguous()
    if tied.any():
        rows = tied.nonzero()[:, 0]
        top[rows], top_columns[rows] = _sorted_top(values[rows], k)
    return top, top_columns


def merge_top(values: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Top `k` of candidates [n, c] that lie in ascending order of id wherever their values are equal."""
    top, places = values.sort(dim=1, descending=True, stable=True)
    return top[:, :k], ids.gather(1, places[:, :k])


def _sorted_top(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    top, columns = values.sort(dim=1, descending=True, stable=True)
    return top[:, :k], columns[:, :k]
