"""What an edit does to the value it meets, with which vector, and when."""

from typing import Literal, get_args

from msgspec import Struct

from ..errors import RequestError
from .numbers import finite


class Stored(Struct, frozen=True, tag="stored", forbid_unknown_fields=True):
    """A tensor of an object in the store: sha256 of its bytes, and the tensor's name in it."""

    digest: str
    name: str


class Ref(Struct, frozen=True, tag="ref", forbid_unknown_fields=True):
    """What an earlier stage kept under `name`: the value at its tap's `layer`, of `row` at the kept position `position`."""

    name: str
    layer: int
    row: int = 0
    position: int = -1


Vector = Stored | Ref


class StoredDictionary(Struct, frozen=True, forbid_unknown_fields=True):
    """A sparse dictionary in the store: its weights, and how they are used (`data.dictionary` has the formulas and the names)."""

    weights: tuple[Stored, ...]
    width: int
    out: int
    latents: int
    architecture: Literal["relu", "jumprelu", "topk", "gated"] = "relu"
    k: int | None = None
    subtract_b_dec: bool = True
    rank_by_norm: bool = False
    scale: float = 1.0
    scale_out: float | None = None
    normalize: Literal["none", "layer_norm", "constant_norm"] = "none"

    def __post_init__(self) -> None:
        for name in ("scale", "scale_out"):
            value = getattr(self, name)
            if value is not None and not finite(name, value) > 0:
                raise RequestError(f"{name} of a dictionary must be above 0, not {value}")
        if min(self.width, self.out, self.latents) < 1 or (self.k is not None and not 1 <= self.k <= self.latents):
            raise RequestError(
                "a dictionary has widths, latents and a k of 1 or more, and no more active ones than latents"
            )


Unit = Literal["raw", "stream"]
UNITS: tuple[Unit, ...] = get_args(Unit)


class Addition(Struct, frozen=True, forbid_unknown_fields=True):
    """What additions share. Unit "stream" counts `scale` in multiples of the norm of x: scale |x| v / |v| for scale v."""

    vector: Vector
    scale: float = 1.0
    unit: Unit = "raw"

    def __post_init__(self) -> None:
        finite("scale", self.scale)


class Add(Addition, frozen=True, tag="add"):
    """x + scale v."""


class AddKeepingNorm(Addition, frozen=True, tag="add_keeping_norm"):
    """x + scale v, scaled back to the norm of x: the direction changes and the length does not."""


class Set(Struct, frozen=True, tag="set", forbid_unknown_fields=True):
    """v in place of x."""

    vector: Vector


class Zero(Struct, frozen=True, tag="zero", forbid_unknown_fields=True):
    """0 in place of x."""


class Ablate(Struct, frozen=True, tag="ablate", forbid_unknown_fields=True):
    """x minus its projection on v: x - (x . v) v / |v|^2."""

    vector: Vector


class AblateSubspace(Struct, frozen=True, tag="ablate_subspace", forbid_unknown_fields=True):
    """x minus its projection on the span of several vectors."""

    vectors: tuple[Vector, ...]

    def __post_init__(self) -> None:
        if not self.vectors:
            raise RequestError("ablate_subspace: give at least one vector")


class Clamp(Struct, frozen=True, tag="clamp", forbid_unknown_fields=True):
    """Move x along v until its coordinate x . v / |v| lies in [low, high]; an absent bound is open."""

    vector: Vector
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for name, bound in (("low", self.low), ("high", self.high)):
            if bound is not None:
                finite(name, bound)
        if self.low is None and self.high is None:
            raise RequestError("clamp: give low, high or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise RequestError(f"clamp: low {self.low} is above high {self.high}")


class ClampLatent(Struct, frozen=True, tag="clamp_latent", forbid_unknown_fields=True):
    """Hold one latent of a dictionary within [low, high]: x + (f' - f) w, where f is h = x . u + bias if that is above
    `threshold` and above 0, else 0, and f' is `times` f within the bounds; where f is not above `above`, if that is given,
    nothing changes. `vectors` are u, the encoder's column, and w, the decoder's row. What the dictionary leaves unexplained stays.
    """

    vectors: tuple[Vector, Vector]
    bias: float = 0.0
    threshold: float = 0.0
    low: float | None = None
    high: float | None = None
    above: float | None = None
    times: float = 1.0

    def __post_init__(self) -> None:
        for name in ("bias", "threshold", "low", "high", "above", "times"):
            if getattr(self, name) is not None:
                finite(name, getattr(self, name))
        if self.low is None and self.high is None and self.times == 1:
            raise RequestError("clamp_latent: give low, high or both, or times")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise RequestError(f"clamp_latent: low {self.low} is above high {self.high}")


class Hold(Struct, frozen=True, forbid_unknown_fields=True):
    """What a splice makes of one latent: `times` its activation, within [low, high]."""

    latent: int
    low: float | None = None
    high: float | None = None
    times: float = 1.0

    def __post_init__(self) -> None:
        for name in ("low", "high", "times"):
            if getattr(self, name) is not None:
                finite(name, getattr(self, name))
        if self.low is not None and self.high is not None and self.low > self.high:
            raise RequestError(f"hold: low {self.low} is above high {self.high}")


#: Tokens whose latents are held at once where a whole dictionary is spliced in.
ROWS_AT_ONCE = 2048


class Splice(Struct, frozen=True, tag="splice", forbid_unknown_fields=True):
    """A dictionary's reconstruction in place of x, some of its latents held, and those that are not among `only` (None: all) at 0:
    x^(f'). With the error kept it is x + x^(f') - x^(f): what the dictionary does not explain stays, and as long as every
    latent is as it was nothing changes. A transcoder reads at `reads`, an earlier site of the edit's layer.
    """

    dictionary: StoredDictionary
    error: Literal["keep", "drop"] = "drop"
    hold: tuple[Hold, ...] = ()
    only: tuple[int, ...] | None = None
    reads: str | None = None


class Copy(Struct, frozen=True, tag="copy", forbid_unknown_fields=True):
    """The value of another row at the same site and layer: x[p] becomes source[map[p]].

    `row` counts within the program. `positions` maps target to source positions (pairs); without it, each position copies
    itself. The source row must not be longer to reach in this pass: every mapped source position is in the prompt.
    """

    row: int
    positions: tuple[tuple[int, int], ...] | None = None


class Interpolate(Struct, frozen=True, tag="interpolate", forbid_unknown_fields=True):
    """v + share (x - v): a point on the line from v to x, as integrated gradients need it at every step."""

    vector: Vector
    share: float

    def __post_init__(self) -> None:
        finite("share", self.share)


Op = Add | AddKeepingNorm | Set | Zero | Ablate | AblateSubspace | Clamp | ClampLatent | Splice | Interpolate | Copy


class When(Struct, frozen=True, forbid_unknown_fields=True):
    """A condition on an edit: the value at an earlier site lies further along `vector` than `threshold`.

    The measure is its coordinate x . v / |v|, or that over |x|. "token" asks it of every position for that position;
    "prefill" asks it of the last position of the prompt, for that one and all generated ones.
    """

    site: str
    layer: int
    vector: Vector
    threshold: float
    check: Literal["prefill", "token"] = "token"
    measure: Literal["coordinate", "cosine"] = "coordinate"

    def __post_init__(self) -> None:
        finite("threshold", self.threshold)
