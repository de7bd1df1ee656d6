"""What a request to read features says."""

from msgspec import Struct

from ...program.language import Text
from ...program.latents import Kept
from ...program.operations import StoredDictionary


class FeaturesRequest(Struct, frozen=True, tag="features", forbid_unknown_fields=True):
    """Read every latent of a dictionary at `site` of `layer` over texts (a transcoder writes at `site_out`); without a dictionary
    every neuron (coordinate) of the site itself, where it is above 0. A text longer than `context` tokens (0: the model's, 1,024 at
    most) runs in pieces; special tokens are not read. `first` is the number of the first text in the corpus; the part that has it
    tells what latents promote.
    """

    texts: tuple[Text, ...]
    site: str
    layer: int
    dictionary: StoredDictionary | None = None
    site_out: str | None = None
    kept: Kept = Kept()
    context: int = 0
    first: int = 0
