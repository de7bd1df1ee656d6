"""What a request for completions says."""

from msgspec import Struct

from ...program.language import Edit, Sampling, Text


class GenerateRequest(Struct, frozen=True, tag="generate", forbid_unknown_fields=True):
    """A completion of every text, under the edits of `steer`; `first` is the number of the first text in the call that this
    is a slice of."""

    texts: tuple[Text, ...]
    sampling: Sampling
    steer: tuple[Edit, ...] = ()
    first: int = 0
