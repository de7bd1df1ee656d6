"""What a request for tokens says."""

from msgspec import Struct

from ...program.language import Text


class TokenizeRequest(Struct, frozen=True, tag="tokenize", forbid_unknown_fields=True):
    """The token ids of every text and how each token reads; no pass is run. Without texts it is the empty job."""

    texts: tuple[Text, ...] = ()
