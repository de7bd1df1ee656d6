"""How a dictionary is to be trained: plain data, checked where it is made."""

from typing import Literal, get_args

from msgspec import Struct

from ..errors import RequestError, one_of
from .numbers import finite

#: relu: ||x - x^||^2 + lambda |f|_1. topk: the k largest of a row. batch_topk: the k B largest of B rows (Bussmann et al. 2024,
#: arXiv:2412.06410), towards the end of a training; before, the k largest of a row. matryoshka: batch_topk whose first latents
#: must do alone as well (arXiv:2503.17547). jumprelu: lambda times the number of active latents, with a learned threshold
#: (arXiv:2407.14435). gated: arXiv:2404.16014.
Trained = Literal["relu", "topk", "batch_topk", "matryoshka", "jumprelu", "gated"]
TRAINED: tuple[Trained, ...] = get_args(Trained)
#: Those whose sparsity is a count (k), not a penalty.
COUNTED = ("topk", "batch_topk", "matryoshka")
#: Those of them whose rows share out a batch's active pairs.
SHARING = ("batch_topk", "matryoshka")
_SHARED_FROM = 0.82
_TURNS = {"topk": 62, "batch_topk": 94, "matryoshka": 94}
MOST_GROUPS = 16
#: Of a weight while it is trained: itself, its gradient, Adam's two moments.
STATE_BYTES = 16
#: A dictionary with a larger state is shared out over the ranks of a group.
LARGE_BYTES = 1 << 30
_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """One dictionary of `latents` latents for a site of a layer; a transcoder writes at `site_out` of `layer_out`.

    Inputs are scaled so that their centred mean square norm is their width d. `k` is of topk and its kin; `sparsity` is the
    lambda of the others, on that scale. `groups` are matryoshka's prefixes. `tokens` are the rows trained on in all, `batch` rows
    a step. The learning rate is Adam's; None gives `automatic_rate`. It warms up linearly over `warmup` of the tokens (as
    lambda does over twice that) and falls to 0 over the last `decay` of them. A latent is dead when it has not fired for
    `dead_after` tokens: None is a thirtieth of `tokens`; for topk and its kin a 64th, or as long as it takes until each would have
    fired 62 times (94 where rows share) if all fired equally often, if that is longer. `bandwidth` is the width of jumprelu's kernel.
    """

    latents: int
    architecture: Trained = "batch_topk"
    k: int = 32
    sparsity: float = 2.0
    groups: tuple[int, ...] = ()
    site: str = "resid_post"
    layer: int = 0
    site_out: str | None = None
    layer_out: int | None = None
    tokens: int = 1_000_000
    batch: int = 2048
    learning_rate: float | None = None
    warmup: float = 0.02
    decay: float = 0.2
    dead_after: int | None = None
    auxiliary: float = 3.0
    bandwidth: float = 0.5
    dtype: Literal["float32", "bfloat16"] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("architecture", self.architecture, TRAINED)
        for name in ("sparsity", "warmup", "decay", "auxiliary", "bandwidth"):
            finite(name, getattr(self, name))
            if getattr(self, name) < 0:
                raise RequestError(f"{name} must be 0 or more, not {getattr(self, name)}")
        for name in ("latents", "tokens", "batch", "k"):
            if getattr(self, name) < 1:
                raise RequestError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.architecture in COUNTED and self.k > self.latents:
            raise RequestError(f"k={self.k} is more than the dictionary has latents, {self.latents}")
        if self.learning_rate is not None and not finite("learning_rate", self.learning_rate) > 0:
            raise RequestError(f"learning_rate must be above 0, not {self.learning_rate}")
        if self.warmup + self.decay > 1:
            raise RequestError("warmup and decay are shares of the tokens, together 1 at most")
        if self.bandwidth == 0 or not 0 <= self.seed < 2**63:
            raise RequestError("bandwidth must be above 0, and seed 0 or more and below 2^63")
        if len(self.groups) > MOST_GROUPS:
            raise RequestError(
                f"{len(self.groups)} groups are more than {MOST_GROUPS}: each is a reconstruction of its own"
            )
        ordered = all(a < b for a, b in zip(self.groups, self.groups[1:], strict=False))
        if self.groups and not (ordered and self.groups[0] > 0 and self.groups[-1] == self.latents):
            raise RequestError(f"groups are growing prefixes that end with {self.latents}, not {list(self.groups)}")

    @property
    def prefixes(self) -> tuple[int, ...]:
        """Matryoshka's prefixes; one of all latents for the others."""
        if self.architecture != "matryoshka":
            return (self.latents,)
        return self.groups or tuple(sorted({max(1, round(share * self.latents)) for share in _SHARES}))

    @property
    def transcodes(self) -> bool:
        """Whether it writes elsewhere than it reads."""
        return self.site_out is not None

    @property
    def written_layer(self) -> int:
        """The layer at which a transcoder writes."""
        return self.layer if self.layer_out is None else self.layer_out

    @property
    def window(self) -> int:
        """After how many tokens without firing a latent is dead."""
        if self.dead_after is not None:
            return self.dead_after
        if self.architecture in COUNTED:
            return max(self.batch, self.tokens // 64, _TURNS[self.architecture] * self.latents // self.k)
        return max(self.batch, self.tokens // 30)

    def automatic_rate(self, width: int) -> float:
        """The learning rate for an input of `width`: steps as large as a share of a unit row's coordinates, less for more
        latents, which each see fewer rows, and for a transcoder, whose latents do not begin where they are of use."""
        share = 0.02 if self.transcodes else 0.1 if self.architecture in COUNTED else 0.2
        return float(share * width**-0.5 * (1024 / max(self.latents, 256)) ** 0.25)


def shares(recipe: Recipe, seen: int) -> bool:
    """Whether rows share out a batch's active pairs after `seen` tokens. Until then each has its own k: what a few rows take early is
    missing where other latents would have begun to learn."""
    return recipe.architecture in SHARING and seen >= _SHARED_FROM * recipe.tokens


def of_rate(recipe: Recipe, seen: int) -> float:
    """The share of the learning rate for a batch after `seen` tokens: up, level, down to 0 at the end."""
    rising = (seen + recipe.batch) / max(1.0, recipe.warmup * recipe.tokens)
    falling = (recipe.tokens - seen) / max(1.0, recipe.decay * recipe.tokens)
    return max(0.0, min(1.0, rising, falling))


def of_sparsity(recipe: Recipe, seen: int) -> float:
    """The share of lambda for a batch after `seen` tokens: up to the whole over twice the warm-up."""
    return min(1.0, (seen + recipe.batch) / max(1.0, 2 * recipe.warmup * recipe.tokens))
