"""One pass over activations that says, of every latent, where and how strongly it is active; memory does not grow with texts.

Whatever is random here (which examples are sampled, the signs of sketches) is drawn by a hash of the place (text, piece,
position), so that the result does not depend on how texts were batched.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...program.latents import BINS, DIRECTIONS, LOWEST, PLACES, SPARE, Kept
from .active import Pairs, pairs_of
from .few import Few, lowest

#: Rows whose latents are held at once.
_AT_ONCE = 2048
#: Pairs of latent and token are reduced to the largest few of each latent when there are so many.
_MANY = 4_000_000


@dataclass(frozen=True)
class Piece:
    """The rows of a text, or of a piece of one: x [n, d], of which the latents are made, and the token and position of each."""

    x: Tensor
    tokens: Tensor
    positions: Tensor
    text: int
    piece: int


class Reader:
    """What has been read so far, by name as `data.feature_table` has it; a piece is known by its number among those that came."""

    def __init__(self, latents: int, kept: Kept, device: torch.device, centre: Tensor | None = None) -> None:
        """`centre` [d] is where directions are seen from (None: 0)."""
        self._m, self._kept, self._device, self._centre = latents, kept, device, centre

        def zeros(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.zeros(latents, *shape, dtype=dtype, device=device)

        self.rows = 0
        self.count, self.total, self.squares = zeros(dtype=torch.long), zeros(), zeros()
        self.histogram = zeros(BINS, dtype=torch.int32)
        self.directions, self.places = zeros(DIRECTIONS, dtype=torch.float32), zeros(PLACES, dtype=torch.float32)
        self.top = Few(kept.top, "piece", "position", "value")
        self.samples = Few(kept.samples, "piece", "position", "value")
        self._tokens: list[tuple[Tensor, Tensor, Tensor]] = []
        self._waiting = 0
        self._pieces = 0

    def read(self, pieces: Sequence[Piece], encode: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Take pieces in, pausing between chunks of rows; `encode` gives the latents [n, m] of rows."""
        chunk: list[tuple[int, Piece]] = []
        for piece in pieces:
            if chunk and sum(len(one.x) for _, one in chunk) + len(piece.x) > _AT_ONCE:
                with torch.no_grad():
                    self._take(chunk, encode)
                chunk = []
                yield
            chunk.append((self._pieces, piece))
            self._pieces += 1
        if chunk:
            with torch.no_grad():
                self._take(chunk, encode)
            yield

    def tokens(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of each latent the tokens with the largest totals, SPARE times as many as are kept: key (latent x 2^32 + token), total
        activation, how often."""
        return self._reduced(SPARE * self._kept.tokens)

    def _take(self, chunk: Sequence[tuple[int, Piece]], encode: Callable[[Tensor], Tensor]) -> None:
        x = torch.cat([piece.x for _, piece in chunk]).to(self._device, torch.float32)
        tokens, positions = (
            torch.cat([getattr(piece, name) for _, piece in chunk]).to(self._device) for name in ("tokens", "positions")
        )
        hashes = torch.cat([_hashes(piece.text, piece.piece, piece.positions) for _, piece in chunk]).to(self._device)
        numbers = torch.cat([torch.full((len(piece.x),), number) for number, piece in chunk]).to(self._device)
        f = encode(x)
        pairs = pairs_of(f > 0)
        row, latent, value = pairs.rows, pairs.latents, pairs.take(f)
        self.rows += len(x)
        exact = value.double()
        self.count += torch.bincount(latent, minlength=self._m)
        self.total.index_add_(0, latent, exact)
        self.squares.index_add_(0, latent, exact.square())
        bins = (torch.log2(value).floor().long() - LOWEST).clamp(0, BINS - 1)
        keys = latent * BINS + bins
        self.histogram += torch.bincount(keys, minlength=self._m * BINS).view(self._m, BINS).int()
        self._examples(latent, keys, value, numbers[row], positions[row], hashes[row])
        self._note_tokens(latent, tokens[row], exact)
        self._sketch(pairs, x, value, hashes)

    def _examples(
        self, latent: Tensor, keys: Tensor, value: Tensor, piece: Tensor, position: Tensor, hashes: Tensor
    ) -> None:
        """The strongest of each text are examples; and of each bin some that the hashes draw."""
        place = {"piece": piece.int(), "position": position.int(), "value": value}
        strongest = lowest(latent * (1 << 32) + piece, -value, 1)
        self.top.add(
            key=latent[strongest], order=-value[strongest].double(), **{n: v[strongest] for n, v in place.items()}
        )
        drawn = lowest(keys, hashes, self._kept.samples)
        self.samples.add(key=keys[drawn], order=hashes[drawn], **{n: v[drawn] for n, v in place.items()})

    def _note_tokens(self, latent: Tensor, tokens: Tensor, value: Tensor) -> None:
        self._tokens.append((latent * (1 << 32) + tokens, value, torch.ones_like(latent)))
        self._waiting += len(latent)
        if self._waiting > _MANY:
            self._reduced(2 * SPARE * self._kept.tokens)

    def _reduced(self, most: int) -> tuple[Tensor, Tensor, Tensor]:
        if not self._tokens:
            return (
                torch.zeros(0, dtype=torch.long),
                torch.zeros(0, dtype=torch.float64),
                torch.zeros(0, dtype=torch.long),
            )
        keys, totals, counts = (torch.cat(column) for column in zip(*self._tokens, strict=True))
        unique, place = keys.unique(return_inverse=True)
        total = totals.new_zeros(len(unique)).index_add_(0, place, totals)
        count = counts.new_zeros(len(unique)).index_add_(0, place, counts)
        order = lowest(unique >> 32, -total, most)
        made = unique[order], total[order], count[order]
        self._tokens, self._waiting = [made], 0
        return made

    def _sketch(self, pairs: Pairs, x: Tensor, value: Tensor, hashes: Tensor) -> None:
        """Sums, weighted by activation, of random projections of the rows' directions, and of the rows as places: dot products of
        these sums are those of the whole, up to noise."""
        unit = torch.nn.functional.normalize(x if self._centre is None else x - self._centre, dim=1)
        self.directions += pairs.scatter(value, unit @ _signs(x.shape[1], x.device))
        places = torch.zeros(len(x), PLACES, device=x.device)
        sign = ((hashes >> 20) & 1).float() * 2 - 1
        places.scatter_(1, ((hashes >> 24) % PLACES)[:, None], sign[:, None])
        self.places += pairs.scatter(value, places)


def _signs(width: int, device: torch.device) -> Tensor:
    """A projection [width, DIRECTIONS] that keeps dot products in the mean."""
    draw = torch.Generator().manual_seed(width)
    signs = torch.randint(0, 2, (width, DIRECTIONS), generator=draw) * 2 - 1
    return (signs.float() / DIRECTIONS**0.5).to(device)


def _hashes(text: int, piece: int, positions: Tensor) -> Tensor:
    """A number from 0 to 2^62 for each position of a piece: splitmix64 (Steele, Lea and Flood 2014) of where it is."""
    z = positions.long() + ((text * 1_000_003 + piece) * 1_048_583) % (1 << 62)
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        z = z * -7046029254386353131 + 1442695040888963407
        z = (z ^ ((z >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return (z ^ ((z >> 31) & ((1 << 33) - 1))) & ((1 << 62) - 1)
