"""What is read of latents in one pass over texts, and how much of it is kept."""

from msgspec import Struct

from ..errors import RequestError

#: Bins of the histogram of an activation: powers of two, the first from 2^-12 on; the first and the last are open.
BINS, LOWEST = 24, -12
#: Dimensions of the sketches: of the directions in which a latent is active, and of the places.
DIRECTIONS, PLACES = 32, 128
#: While texts are read so many times the tokens of a latent are kept, so that the largest totals are found over all of them.
SPARE = 4
#: Tokens that a latent promotes, and suppresses, of which a table tells.
EFFECTS = 10


class Kept(Struct, frozen=True, forbid_unknown_fields=True):
    """Of each latent: its `top` examples, each of another text; `samples` of each bin of its histogram, drawn at random; the
    `tokens` on which its activation adds up to most."""

    top: int = 10
    samples: int = 2
    tokens: int = 10

    def __post_init__(self) -> None:
        for name in ("top", "samples", "tokens"):
            if not 0 < getattr(self, name) <= 100:
                raise RequestError(f"{name} must lie in 1 to 100, not {getattr(self, name)}")
