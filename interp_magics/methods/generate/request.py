"""What a request for completions says."""

from msgspec import Struct

from ...program.language import Edit, Sampling, Text


class GenerateRequest(Struct, frozen=True, tag="generate", forbid_unknown_fields=True):
    """A completion of every text, under the edits of `steer`."""

    texts: tuple[Text, ...]
    sampling: Sampling
    steer: tuple[Edit, ...] = ()
