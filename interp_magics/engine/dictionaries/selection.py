"""The largest of many pre-activations, found among the groups that can hold them.

The k largest numbers of a set lie in the k groups with the largest maxima: else k groups would each have one that is no
smaller. So one pass takes the maxima, and the search goes on in a share of the numbers.
"""

import torch
from torch import Tensor

#: Members of a group; and how many more groups there must be than are looked for.
_GROUP, _MARGIN = 16, 2
_LEAST = 4096


def largest_of_rows(h: Tensor, k: int) -> Tensor:
    """Which are the k largest of each row [rows, k] of h [rows, m], in no order."""
    rows, m = h.shape
    if m < _LEAST or m % _GROUP or m // _GROUP < _MARGIN * k:
        return h.topk(k, 1, sorted=False).indices
    groups = m // _GROUP
    strided = h.view(rows, _GROUP, groups)
    best = strided.amax(1).topk(k, 1, sorted=False).indices
    candidates = strided.gather(2, best[:, None, :].expand(rows, _GROUP, k)).flatten(1)
    found = candidates.topk(k, 1, sorted=False).indices
    return (found // k) * groups + best.gather(1, found % k)


def largest_of_all(h: Tensor, count: int) -> Tensor:
    """Which are the `count` largest of h [rows, m], counted row by row, in no order."""
    rows, m = h.shape
    if m < _LEAST or m % _GROUP or rows * m // _GROUP < _MARGIN * count:
        return h.flatten().topk(count, sorted=False).indices
    groups = m // _GROUP
    best = h.view(rows, _GROUP, groups).amax(1).flatten().topk(count, sorted=False).indices
    first = (best // groups) * m + best % groups
    places = (first[:, None] + groups * torch.arange(_GROUP, device=h.device)).flatten()
    return places[h.flatten()[places].topk(count, sorted=False).indices]
