"""The lens kernel: many rows of the stream to top-k, log-probabilities, entropy, KL and ranks, never holding their logits.

Rows are taken a chunk at a time and the vocabulary a tile at a time. Each tile of float32 logits is folded into running
sums and thrown away, so the workspace is a few tiles, whatever the number of layers, tokens or vocabulary entries:

    m = max z,  s = sum exp(z - m),  t = sum exp(z - m) z,  c = sum exp(f - m_f) z      (f: logits of the final layer)
    log p = z - m - log s,  entropy = m + log s - t / s,  KL(final || here) = m + log s - c / s_f - entropy_f

The running maximum is the only thing that a later tile can change, by a factor on the sums (Milakov and Gimelshein 2018,
"Online normalizer calculation for softmax").
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import RequestError
from .ranks import Ranks
from .readout import Readout
from .topk import merge_top, tile_top

ROWS_PER_CHUNK = 512
VOCABULARY_PER_TILE = 2048
#: Tiles whose candidates are held before they are merged.
_MERGE = 8


@dataclass(frozen=True)
class LensRequest:
    """What to compute of every row: `track` [n] are token ids, `entropy` and `kl_final` are switches."""

    top_k: int
    track: Tensor
    entropy: bool
    kl_final: bool


@dataclass(frozen=True)
class LensArrays:
    """Results for `sets` x `points` rows: ids [m, n, k] int32, the rest float32; absent statistics are None."""

    top_ids: Tensor
    top_logprobs: Tensor
    entropy: Tensor | None
    kl_final: Tensor | None
    tracked_logprobs: Tensor
    tracked_ranks: Tensor


@dataclass(frozen=True)
class Source:
    """Rows to decode: `sets` (site x layer) times `points` (positions); `normed(start, stop)` gives [sets, stop - start, d]
    after the final norm, `final` the same for the model's last layer as [stop - start, d]."""

    sets: int
    points: int
    normed: Callable[[int, int], Tensor]
    final: Callable[[int, int], Tensor]


def decode(source: Source, readout: Readout, request: LensRequest) -> LensArrays:
    """Decode every row of `source`. The log-probabilities are natural, over the whole vocabulary."""
    if source.points == 0:
        return _nothing(source.sets, request)
    step = max(1, ROWS_PER_CHUNK // (source.sets + request.kl_final))
    parts = []
    for start in range(0, source.points, step):
        stop = min(start + step, source.points)
        rows = source.normed(start, stop).flatten(0, 1)
        if request.kl_final:
            rows = torch.cat([rows, source.final(start, stop)])
        parts.append(_chunk(rows, stop - start, source.sets, readout, request))
    return _assemble(parts)


def _nothing(sets: int, request: LensRequest) -> LensArrays:
    tracked = len(request.track)
    return LensArrays(
        top_ids=torch.zeros(sets, 0, request.top_k, dtype=torch.int32),
        top_logprobs=torch.zeros(sets, 0, request.top_k),
        entropy=torch.zeros(sets, 0) if request.entropy else None,
        kl_final=torch.zeros(sets, 0) if request.kl_final else None,
        tracked_logprobs=torch.zeros(sets, 0, tracked),
        tracked_ranks=torch.zeros(sets, 0, tracked, dtype=torch.int32),
    )


class _Sums:
    """Running maximum and sums of one chunk of rows."""

    def __init__(self, rows: int, device: torch.device) -> None:
        self.maximum = torch.full((rows, 1), -torch.inf, device=device)
        self.total = torch.zeros(rows, 1, device=device)
        self.weighted = torch.zeros(rows, 1, device=device)

    def raise_maximum(self, tile_maximum: Tensor) -> Tensor:
        """Take a tile's maximum [rows, 1] in; return the factor by which sums over exp(z - maximum) shrink."""
        higher = torch.maximum(self.maximum, tile_maximum)
        factor = torch.exp(self.maximum - higher)
        self.maximum = higher
        self.total *= factor
        self.weighted *= factor
        return factor

    @property
    def log_total(self) -> Tensor:
        return self.maximum + torch.log(self.total)


def _chunk(rows: Tensor, points: int, sets: int, readout: Readout, request: LensRequest) -> LensArrays:
    count, width = rows.shape[0], min(VOCABULARY_PER_TILE, readout.width)
    decoded = sets * points
    sums = _Sums(count, rows.device)
    cross = torch.zeros(sets, points, device=rows.device)
    tracked = readout.chosen(rows, request.track)
    ranks = torch.zeros(tracked.shape, dtype=torch.int32, device=rows.device)
    logits_buffer, weights_buffer = torch.empty(2, count, width, device=rows.device).unbind(0)
    values, ids = [], []
    for start in range(0, readout.width, width):
        stop = min(start + width, readout.width)
        exact = stop - start == width
        logits = logits_buffer if exact else logits_buffer[:, : stop - start].contiguous()
        weights = weights_buffer if exact else weights_buffer[:, : stop - start].contiguous()
        readout.product(rows, start, stop, out=logits)
        top, top_ids = tile_top(logits, min(request.top_k, stop - start))
        values.append(top[:decoded])
        ids.append(top_ids[:decoded] + (readout.start + start))
        if len(values) == _MERGE:
            values, ids = ([part] for part in merge_top(torch.cat(values, 1), torch.cat(ids, 1), request.top_k))
        factor = sums.raise_maximum(top[:, :1])
        torch.sub(logits, sums.maximum, out=weights).exp_()
        sums.total += weights.sum(1, keepdim=True)
        _count_above(logits, tracked, ranks, request.track - readout.start, start, stop)
        if request.kl_final:
            final = weights[decoded:]
            products = final.unsqueeze(0) * logits[:decoded].view(sets, points, -1)
            cross = cross * factor[decoded:].view(1, points) + products.sum(-1)
        if request.entropy or request.kl_final:
            sums.weighted += weights.mul_(logits).sum(1, keepdim=True)
    top, top_ids = merge_top(torch.cat(values, 1), torch.cat(ids, 1), request.top_k)
    if readout.ranks.size > 1:
        top, top_ids, cross, ranks = _across(readout.ranks, top, top_ids, sums, cross, ranks, request.top_k)
    return _finish(top, top_ids, sums, cross, tracked, ranks, (sets, points), request)


def _across(
    group: Ranks, top: Tensor, top_ids: Tensor, sums: _Sums, cross: Tensor, above: Tensor, k: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Merge what the ranks found in their shares of the vocabulary: per row 2k + 3 numbers, one for KL, one per tracked
    token; never logits. A share may hold fewer than k tokens."""
    sets, points = cross.shape
    short = k - top.shape[1]
    if short:
        top = torch.nn.functional.pad(top, (0, short), value=-torch.inf)
        top_ids = torch.nn.functional.pad(top_ids, (0, short), value=0)
    top, top_ids = (group.stacked(part).movedim(0, 1).flatten(1) for part in (top, top_ids))
    top, top_ids = merge_top(top, top_ids, k)
    maxima = group.stacked(sums.maximum)
    sums.maximum = maxima.amax(0)
    factors = torch.exp(maxima - sums.maximum)
    sums.total = (group.stacked(sums.total) * factors).sum(0)
    sums.weighted = (group.stacked(sums.weighted) * factors).sum(0)
    final = factors[:, sets * points :, 0].unsqueeze(1)
    if final.shape[-1]:
        cross = (group.stacked(cross) * final).sum(0)
    return top, top_ids, cross, group.total(above)


def _count_above(logits: Tensor, tracked: Tensor, ranks: Tensor, track: Tensor, start: int, stop: int) -> None:
    """Add to `ranks` how many of a tile's tokens lie strictly above each tracked one; a token never outranks itself."""
    for column, token in enumerate(track.tolist()):
        above = logits > tracked[:, column : column + 1]
        if start <= token < stop:
            above[:, token - start] = False
        ranks[:, column] += torch.count_nonzero(above, dim=1).to(torch.int32)


def _finish(
    top: Tensor,
    top_ids: Tensor,
    sums: _Sums,
    cross: Tensor,
    tracked: Tensor,
    ranks: Tensor,
    shape: tuple[int, int],
    request: LensRequest,
) -> LensArrays:
    decoded = shape[0] * shape[1]
    log_total = sums.log_total
    if not bool(torch.isfinite(log_total).all()):
        raise RequestError("the stream is not finite here, so it predicts nothing; an edit is too large")
    entropies = (log_total - sums.weighted / sums.total)[:, 0]
    divergence = None
    if request.kl_final:
        final_total, final_entropy = sums.total[decoded:, 0], entropies[decoded:]
        divergence = log_total[:decoded, 0].view(shape) - cross / final_total - final_entropy
        divergence = divergence.clamp_min_(0.0)
    return LensArrays(
        top_ids=top_ids.to(torch.int32).view(*shape, -1),
        top_logprobs=(top - log_total[:decoded]).view(*shape, -1),
        entropy=entropies[:decoded].view(shape).clamp_min(0.0) if request.entropy else None,
        kl_final=divergence,
        tracked_logprobs=(tracked - log_total)[:decoded].view(*shape, -1),
        tracked_ranks=ranks[:decoded].view(*shape, -1),
    )


def _assemble(parts: list[LensArrays]) -> LensArrays:
    def join(name: str) -> Tensor | None:
        pieces = [getattr(part, name) for part in parts]
        return None if pieces[0] is None else torch.cat(pieces, 1).cpu()

    return LensArrays(**{name: join(name) for name in LensArrays.__dataclass_fields__})
