"""What a request for side effects says."""

from msgspec import Struct

from ...program.language import Positions, Text
from ...program.operations import Stored, Unit


class SideEffectsRequest(Struct, frozen=True, tag="side_effects", forbid_unknown_fields=True):
    """Every text read plainly, and with the vector of each layer added at each scale: how much more surprising it is, and
    how far the predictions move. `first` is the number of the first text in the call that this is a slice of."""

    texts: tuple[Text, ...]
    site: str
    layers: tuple[int, ...]
    vectors: tuple[Stored, ...]
    scales: tuple[float, ...]
    positions: Positions
    unit: Unit = "raw"
    first: int = 0
    head: int | None = None
