"""What a request for propensity curves says."""

from msgspec import Struct

from ...program.language import Positions, Text
from ...program.operations import Stored, Unit


class Curve(Struct, frozen=True, forbid_unknown_fields=True):
    """A vector for each of the request's layers, under a name: the vector's own, or that of a control."""

    name: str
    vectors: tuple[Stored, ...]


class SteerabilityRequest(Struct, frozen=True, tag="steerability", forbid_unknown_fields=True):
    """The propensity of items at every layer and scale of every curve.

    `texts` are pairs: text 2i ends in the answer that the vector is to favour, text 2i + 1 in the other. Each is read up to
    the first token at which they differ, and m = logit(y+) - logit(y-) there. `first` is the number of the first text in
    the call that this is a slice of.
    """

    texts: tuple[Text, ...]
    site: str
    layers: tuple[int, ...]
    scales: tuple[float, ...]
    curves: tuple[Curve, ...]
    positions: Positions
    unit: Unit = "raw"
    first: int = 0
    head: int | None = None
