"""Programs as data: rows, reads (`Tap`), writes (`Edit`), differentiation (`Gradient`), and stages that share one job.

Everything here is plain, immutable and engine-neutral: semantic sites, absolute positions counted from the first real
token, a closed set of operations, vectors named by the digest of a stored object. Unions are msgspec tagged unions, so a
field or a kind that is not declared is refused when a message is read.
"""

from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from ..errors import RequestError
from .numbers import finite
from .operations import Ablate as Ablate
from .operations import AblateSubspace as AblateSubspace
from .operations import Add as Add
from .operations import AddKeepingNorm as AddKeepingNorm
from .operations import Clamp as Clamp
from .operations import ClampLatent as ClampLatent
from .operations import Copy as Copy
from .operations import Hold as Hold
from .operations import Interpolate as Interpolate
from .operations import Op as Op
from .operations import Ref as Ref
from .operations import Set as Set
from .operations import Splice as Splice
from .operations import Stored as Stored
from .operations import StoredDictionary as StoredDictionary
from .operations import Vector as Vector
from .operations import When as When
from .operations import Zero as Zero


class Plain(Struct, frozen=True, tag="text", forbid_unknown_fields=True):
    """A string; the tokenizer adds its special tokens."""

    text: str


class Message(Struct, frozen=True, forbid_unknown_fields=True):
    """One chat message."""

    role: str
    content: str


class Chat(Struct, frozen=True, tag="chat", forbid_unknown_fields=True):
    """Chat messages; the model's template is applied and nothing is added."""

    messages: tuple[Message, ...]


class Ids(Struct, frozen=True, tag="ids", forbid_unknown_fields=True):
    """Token ids as they are."""

    ids: tuple[int, ...]


Text = Plain | Chat | Ids


class All(Struct, frozen=True, tag="all", forbid_unknown_fields=True):
    """Every position, of the prompt and generated."""


class First(Struct, frozen=True, tag="first", forbid_unknown_fields=True):
    """Position 0."""


class Last(Struct, frozen=True, tag="last", forbid_unknown_fields=True):
    """The last position of the prompt."""


class Prompt(Struct, frozen=True, tag="prompt", forbid_unknown_fields=True):
    """All positions of the prompt."""


class Generated(Struct, frozen=True, tag="generated", forbid_unknown_fields=True):
    """All positions after the prompt."""


class At(Struct, frozen=True, tag="at", forbid_unknown_fields=True):
    """Explicit positions; negative ones count from the end of the prompt."""

    positions: tuple[int, ...]


class Span(Struct, frozen=True, tag="span", forbid_unknown_fields=True):
    """The prompt tokens that overlap the first occurrence of `text` in the prompt."""

    text: str


class After(Struct, frozen=True, tag="after", forbid_unknown_fields=True):
    """All positions after the first occurrence of a token, wherever it comes."""

    token: int


Positions = All | First | Last | Prompt | Generated | At | Span | After


class Raw(Struct, frozen=True, tag="raw", forbid_unknown_fields=True):
    """The values themselves, in `dtype` or in the model's own."""

    dtype: Literal["float32", "float16", "bfloat16"] | None = None


class Lens(Struct, frozen=True, tag="lens", forbid_unknown_fields=True):
    """What the stream would predict: top-k ids with true log-probabilities, statistics, tracked tokens.

    `track` lists token ids; entropy and KL(final || here) are in nats over the whole vocabulary. With `stream` what is
    decoded is told every few positions, while the row goes on.
    """

    kind: str = "logit"
    top_k: int = 5
    track: tuple[int, ...] = ()
    entropy: bool = True
    kl_final: bool = True
    stream: bool = False


class Project(Struct, frozen=True, tag="project", forbid_unknown_fields=True):
    """Coordinates x . v for each vector."""

    vectors: tuple[Vector, ...]


class Moments(Struct, frozen=True, tag="moments", forbid_unknown_fields=True):
    """Mean, variance (population) and mean norm over the selected positions of each row, in float32."""


class Surprisal(Struct, frozen=True, tag="surprisal", forbid_unknown_fields=True):
    """-log p of the row's own next token at each position, in nats (nan after the last known token), read at `ln_final`.

    With `against`, a row of the same tokens, also KL(that row || this one) at each position.
    """

    against: int | None = None


class Latents(Struct, frozen=True, tag="latents", forbid_unknown_fields=True):
    """Activations of a dictionary's latents at each position: of those named, or of all."""

    dictionary: StoredDictionary
    latents: tuple[int, ...] | None = None


Reduction = Raw | Lens | Project | Moments | Surprisal | Latents


class Tap(Struct, frozen=True, forbid_unknown_fields=True):
    """A read. `layers`, `rows` and `index` (heads, KV heads or neurons) of None mean all."""

    site: str
    layers: tuple[int, ...] | None = None
    positions: Positions = All()
    rows: tuple[int, ...] | None = None
    index: tuple[int, ...] | None = None
    reduce: Reduction | None = Raw()
    keep: str | None = None


class Edit(Struct, frozen=True, forbid_unknown_fields=True):
    """A write at one site of one layer."""

    site: str
    layer: int
    op: Op
    positions: Positions = All()
    rows: tuple[int, ...] | None = None
    index: tuple[int, ...] | None = None
    when: When | None = None


class LogitDifference(Struct, frozen=True, tag="logit_difference", forbid_unknown_fields=True):
    """logit(target) - logit(foil) at the last position."""

    target: int
    foil: int


class LogProbability(Struct, frozen=True, tag="log_probability", forbid_unknown_fields=True):
    """Log-probability of a token at the last position."""

    target: int


class Loss(Struct, frozen=True, tag="loss", forbid_unknown_fields=True):
    """Mean next-token loss of the row, in nats; the last position predicts nothing that is known."""


class Divergence(Struct, frozen=True, tag="divergence", forbid_unknown_fields=True):
    """KL(kept || here) in nats, mean over positions: an earlier stage kept `ln_final` of the same rows as `kept`."""

    kept: str


class Dot(Struct, frozen=True, tag="dot", forbid_unknown_fields=True):
    """The sum over `positions` of the value at a site with a vector: any direction's derivative."""

    site: str
    layer: int
    vector: Vector
    positions: Positions = Last()


Metric = LogitDifference | LogProbability | Loss | Divergence | Dot


class Gradient(Struct, frozen=True, forbid_unknown_fields=True):
    """The derivative of a metric by the values at `taps`, row by row, with norms and attention patterns frozen if named.

    A tap reduces the derivative as it would reduce the value: raw, moments, or projected on directions. The rows are
    prompts; edits of the stage are in force.
    """

    metric: Metric
    taps: tuple[Tap, ...]
    freeze: tuple[Literal["norm", "attention"], ...] = ()


#: Strings that end a completion, and characters of one: each is looked for at every token, while others wait.
_MOST_STOPS, _LONGEST_STOP = 16, 256


class Sampling(Struct, frozen=True, forbid_unknown_fields=True):
    """How a completion is drawn. Temperature 0 is greedy; `seed` keys the noise with the row and the step.

    `row` is the row's number among those of its call, so that it draws the same wherever it runs. `forced` gives the
    completion instead of drawing it: the named ids are fed one by one.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    row: int = 0
    forced: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        finite("temperature", self.temperature)
        if not (0 <= self.row < 2**63 and 0 <= self.seed < 2**63):
            raise RequestError("seed and row must be 0 or more, and below 2^63")
        if not 1 <= self.max_new_tokens < 2**31:
            raise RequestError(f"max_new_tokens must be at least 1, and below 2^31, not {self.max_new_tokens}")
        if self.temperature < 0:
            raise RequestError(f"temperature must be 0 (greedy) or more, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise RequestError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if any(not s for s in self.stop):
            raise RequestError("a stop string must not be empty")
        if len(self.stop) > _MOST_STOPS or any(len(s) > _LONGEST_STOP for s in self.stop):
            raise RequestError(f"give at most {_MOST_STOPS} stop strings, of at most {_LONGEST_STOP} characters each")


class Row(Struct, frozen=True, forbid_unknown_fields=True):
    """One sequence of a program, and how it goes on after the prompt (None: not at all)."""

    text: Text
    sampling: Sampling | None = None


class Stage(Struct, frozen=True, forbid_unknown_fields=True):
    """One pass: its reads, its writes in the order they apply, its gradients. `rows` of None means all rows."""

    taps: tuple[Tap, ...] = ()
    edits: tuple[Edit, ...] = ()
    gradients: tuple[Gradient, ...] = ()
    rows: tuple[int, ...] | None = None


class Program(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows, and stages that run over them one after another in one job."""

    rows: tuple[Row, ...]
    stages: tuple[Stage, ...] = (Stage(),)


def stored(value: object) -> frozenset[Stored]:
    """All stored tensors that a struct names, however deep."""
    if isinstance(value, Stored):
        return frozenset({value})
    if isinstance(value, Struct):
        return frozenset().union(*(stored(getattr(value, f)) for f in value.__struct_fields__))
    if isinstance(value, tuple | list):
        return frozenset().union(*(stored(v) for v in value))
    if isinstance(value, Mapping):
        return frozenset().union(*(stored(v) for v in value.values()))
    return frozenset()


def splices(value: object) -> tuple[Splice, ...]:
    """All operations in a struct that put a dictionary in place of a value."""
    if isinstance(value, Splice):
        return (value,)
    if isinstance(value, Struct):
        return tuple(found for name in value.__struct_fields__ for found in splices(getattr(value, name)))
    return tuple(found for one in value for found in splices(one)) if isinstance(value, tuple) else ()


def digests(value: object) -> frozenset[str]:
    """The digests of all stored objects that a struct names."""
    return frozenset(vector.digest for vector in stored(value))


_S = TypeVar("_S", bound=Struct)


def replace(struct: _S, **changes: object) -> _S:
    """The struct with some fields changed."""
    return msgspec.structs.replace(struct, **changes)
