"""What a request for a comparison says."""

from msgspec import Struct

from ...program.language import Edit, Text


class Point(Struct, frozen=True, forbid_unknown_fields=True):
    """One strength of a way: edits, and what is put before a text (a system message before a chat)."""

    strength: float
    edits: tuple[Edit, ...] = ()
    before: str = ""


class Way(Struct, frozen=True, forbid_unknown_fields=True):
    """One way to move answers. It is gradual when what lies between two of its strengths exists, as half a vector does and
    half a prompt does not. `texts` were read to make it; `cosine` is the largest of two of its vectors that meet."""

    name: str
    points: tuple[Point, ...]
    gradual: bool
    texts: int = 0
    cosine: float | None = None


class Group(Struct, frozen=True, forbid_unknown_fields=True):
    """Items that belong together, by their number."""

    name: str
    items: int


class ComparisonRequest(Struct, frozen=True, tag="comparison", forbid_unknown_fields=True):
    """The answers of all items at every point of every way, and what each point does to neutral texts.

    `texts` are first the pairs of `items` items, the favoured answer first, then neutral texts. A slice of a call has some of
    its texts, the number of whose first is `first`, and all of its groups.
    """

    texts: tuple[Text, ...]
    items: int
    groups: tuple[Group, ...]
    ways: tuple[Way, ...]
    first: int = 0

    @property
    def pairs(self) -> tuple[tuple[Text, Text], ...]:
        """Each item with either of its answers."""
        asked = self.texts[: 2 * self.items]
        return tuple(zip(asked[::2], asked[1::2], strict=True))

    @property
    def neutral(self) -> tuple[Text, ...]:
        """The texts that have nothing to do with the items."""
        return self.texts[2 * self.items :]
