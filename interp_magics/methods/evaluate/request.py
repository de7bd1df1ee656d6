"""What a request to evaluate a dictionary says."""

from msgspec import Struct

from ...program.language import Text
from ...program.operations import StoredDictionary


class EvaluateRequest(Struct, frozen=True, tag="evaluate", forbid_unknown_fields=True):
    """A dictionary that reads `site` of `layer` and writes it, or `site_out`, measured on texts; one longer than `context` tokens
    (0: the model's) runs in pieces. `first` is the number of the first text in the call that this is a slice of."""

    texts: tuple[Text, ...]
    dictionary: StoredDictionary
    site: str
    layer: int
    site_out: str | None = None
    context: int = 0
    first: int = 0
