"""What a differential search among latents says."""

from typing import Literal, get_args

from msgspec import Struct

from ...program.language import Text
from ...program.operations import StoredDictionary

#: What stands for a text: the largest activation over its tokens, the mean over them, or that of the last one.
Over = Literal["max", "mean", "last"]
OVERS: tuple[Over, ...] = get_args(Over)


class SearchRequest(Struct, frozen=True, tag="search", forbid_unknown_fields=True):
    """Compare every latent at `site` of `layer` between the first `positive` texts and the others; special tokens are left out.
    Without a dictionary the neurons of the site are compared."""

    texts: tuple[Text, ...]
    positive: int
    site: str
    layer: int
    dictionary: StoredDictionary | None = None
    over: Over = "max"
