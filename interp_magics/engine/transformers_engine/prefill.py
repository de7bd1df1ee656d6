"""How prompts are read: in pieces that bound the memory of a pass, and once where rows begin alike.

Rows of a sweep share a prompt and differ from the first position that is written. Up to there one of them, the leader, is
computed; its keys and values are then given to the others. Pads stay on the left of everything, so that the newest columns
of all rows are aligned and a window of attention means the same for each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..execution.batch import Pass

#: A cut must spare at least this share of the tokens to be worth its second pass.
_WORTH = 0.25

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """Every row computes its last `suffix` prompt tokens itself, and takes what is before from its leader.

    `leaders` are the rows that compute a beginning, `follows` gives each row's place among them.
    """

    suffix: int
    leaders: tuple[int, ...]
    follows: tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """One forward call of a prefill: its ids [batch, width] and the mask [batch, columns so far], 1 where a token is.

    `spread` says of which row of the cache so far each row of this call goes on; None when they are the same.
    """

    call: Pass
    ids: Ids
    mask: Ids
    spread: tuple[int, ...] | None = None


def best_cut(prompts: Sequence[Sequence[int]], clean: Sequence[int]) -> Cut | None:
    """The cut that leaves the fewest tokens to compute, or None when it spares too few.

    `clean` is for each row how many of its first positions nothing is written to.
    """
    shared = [min(free, len(ids) - 1) for ids, free in zip(prompts, clean, strict=True)]
    lengths = [len(ids) for ids in prompts]
    data = [np.asarray(ids, np.int64).tobytes() for ids in prompts]
    least = max(length - free for length, free in zip(lengths, shared, strict=True))
    starts = {length - common for length, common in zip(lengths, _common(prompts), strict=True)}
    cuts = (_cut(data, lengths, suffix) for suffix in {least, *(max(least, start) for start in starts)})
    cost, cut = min(((_cost(c, lengths), c) for c in cuts), key=lambda pair: (pair[0], pair[1].suffix))
    return cut if cost <= (1 - _WORTH) * len(lengths) * max(lengths) else None


def whole(prompts: Mapping[int, Sequence[int]], pad: int) -> Piece:
    """All prompts, given by batch row, in one call."""
    return _padded(list(prompts.values()), [0] * len(prompts), list(prompts), pad)


def pieces(prompts: Mapping[int, Sequence[int]], cut: Cut | None, pad: int, most: int) -> Iterator[Piece]:
    """The calls that read all prompts, given by batch row, each of at most `most` tokens. The rows of a cut are places
    among the prompts."""
    members, texts = list(prompts), list(prompts.values())
    if cut is None:
        yield from _stretches(whole(prompts, pad), np.zeros((len(texts), 0), np.int64), most)
        return
    shared = [max(0, len(ids) - cut.suffix) for ids in texts]
    followers = {members[row]: at for row, at in enumerate(cut.follows) if row not in cut.leaders and shared[row]}
    beginnings = [texts[leader][: shared[leader]] for leader in cut.leaders]
    leading = [members[leader] for leader in cut.leaders]
    beginning = _padded(beginnings, [0] * len(beginnings), leading, pad, followers)
    yield from _stretches(beginning, np.zeros((len(beginnings), 0), np.int64), most)
    before = beginning.mask[list(cut.follows)]
    ends = [ids[start:] for ids, start in zip(texts, shared, strict=True)]
    yield from _stretches(_padded(ends, shared, members, pad), before, most, cut.follows)


def _padded(
    prompts: Sequence[Sequence[int]],
    starts: Sequence[int],
    members: Sequence[int],
    pad: int,
    followers: Mapping[int, int] | None = None,
) -> Piece:
    """Prompts padded on the left to one width; `starts` are the positions of their first tokens."""
    width = max(len(ids) for ids in prompts)
    ids = np.full((len(prompts), width), pad, np.int64)
    mask = np.zeros((len(prompts), width), np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    pads = tuple(width - len(prompt) for prompt in prompts)
    return Piece(Pass.padded(tuple(members), tuple(starts), pads, width, followers), ids, mask)


def _stretches(piece: Piece, before: Ids, most: int, spread: tuple[int, ...] | None = None) -> Iterator[Piece]:
    """A piece as calls of bounded size, after the columns of `before`."""
    rows, width = piece.ids.shape
    step = max(1, most // rows)
    for begin in range(0, width, step):
        end = min(begin + step, width)
        mask = np.concatenate([before, piece.mask[:, :end]], axis=1)
        yield Piece(piece.call.between(begin, end), piece.ids[:, begin:end], mask, spread if begin == 0 else None)


def _common(prompts: Sequence[Sequence[int]]) -> list[int]:
    """For each prompt the tokens at its beginning that it shares with its nearest neighbour in lexical order."""
    order = sorted(range(len(prompts)), key=lambda i: tuple(prompts[i]))
    common = [0] * len(prompts)
    for one, other in pairwise(order):
        pairs = zip(prompts[one], prompts[other], strict=False)
        alike = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(prompts[one]), len(prompts[other])))
        common[one], common[other] = max(common[one], alike), max(common[other], alike)
    return common


def _cut(data: Sequence[bytes], lengths: Sequence[int], suffix: int) -> Cut:
    leaders: dict[bytes, int] = {}
    follows = []
    for row, (ids, length) in enumerate(zip(data, lengths, strict=True)):
        beginning = ids[: 8 * max(0, length - suffix)]
        leaders.setdefault(beginning, row)
        follows.append(list(leaders).index(beginning))
    return Cut(suffix, tuple(leaders.values()), tuple(follows))


def _cost(cut: Cut, lengths: Sequence[int]) -> int:
    beginning = max(0, max(lengths[leader] for leader in cut.leaders) - cut.suffix)
    return len(cut.leaders) * beginning + len(lengths) * min(cut.suffix, max(lengths))
