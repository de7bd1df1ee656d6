"""What a request to run a program says."""

from msgspec import Struct

from ...program.language import Program


class ProgramRequest(Struct, frozen=True, tag="program", forbid_unknown_fields=True):
    """A program of the language, as it is."""

    program: Program
