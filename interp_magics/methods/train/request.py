"""What a request to train dictionaries says."""

from msgspec import Struct

from ...program.dictionaries import Recipe
from ...program.handles import Token
from ...program.language import Text
from ...program.operations import Stored


class TrainRequest(Struct, frozen=True, tag="train", forbid_unknown_fields=True):
    """Slice `slice` of a training: all `recipes` learn from what one pass over `texts` gives.

    A worker process holds what they have come to, under the name `training`; `epoch` says which one, as a hint. Where it does
    not, slice 0 begins anew, another goes on from the object `state` (of the slice before), or fails as "lost". `checkpoint`
    asks for the state afterwards, `finish` for the dictionaries whether or not they have had their tokens. Of the positions
    that are not special tokens a `share` is taken; a text longer than `context` tokens (0: the model's) runs in pieces.

    Instead of texts a slice may have `rows`: an object with what was captured before, `count` positions of it: "ids" [n], the token
    of each, and for each site and layer that is learned from its values "SITE/LAYER" [n, width].
    """

    texts: tuple[Text, ...]
    recipes: tuple[Recipe, ...]
    training: Token
    slice: int = 0
    state: Stored | None = None
    epoch: str = ""
    checkpoint: bool = False
    finish: bool = False
    share: float = 1.0
    context: int = 0
    rows: Stored | None = None
    count: int = 0
