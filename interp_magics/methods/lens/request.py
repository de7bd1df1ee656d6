"""What a lens request says."""

from msgspec import Struct

from ...program.handles import Handle, Keep
from ...program.language import All, Edit, Positions, Sampling, Text


class LensRequest(Struct, frozen=True, tag="lens", forbid_unknown_fields=True):
    """Decode `sites` at `layers` (None: all) of every text. `track` holds token ids, or texts that are one token each.

    `keep` asks for a handle on the rows; `kept` names the row of an earlier call that this one's only text repeats; `first`
    is the number of the first text in the call that this is a slice of. With `stream` parts of the result are told on the
    way.
    """

    texts: tuple[Text, ...]
    kind: str = "logit"
    top_k: int = 5
    layers: tuple[int, ...] | None = None
    sites: tuple[str, ...] = ("resid_post",)
    positions: Positions = All()
    track: tuple[str | int, ...] = ()
    sampling: Sampling | None = None
    steer: tuple[Edit, ...] = ()
    entropy: bool = True
    kl_final: bool = True
    keep: Keep = 0
    kept: Handle | None = None
    first: int = 0
    stream: bool = False
