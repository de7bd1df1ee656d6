"""Which batch rows a record is read for, and which positions of each. The layers of a site mostly have the same readers, which are then
one object: what a pass has for them is found once."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from .batch import Span

#: All positions of a row.
WHOLE: Span = (0, sys.maxsize)
_MOST_KNOWN = 256


@dataclass(frozen=True, eq=False)
class Readers:
    """Batch rows, each with the span in which it is read."""

    spans: Mapping[int, Span]


NOBODY = Readers({})


class Groups:
    """Makes readers of others, the same of the same."""

    def __init__(self) -> None:
        self._wider: dict[tuple[Readers, int], tuple[Mapping[int, Span], Readers]] = {}

    def wider(self, readers: Readers, spans: Mapping[int, Span]) -> Readers:
        """Readers with others, or with wider spans of those that there are."""
        key = readers, id(spans)
        if key not in self._wider:
            if len(self._wider) >= _MOST_KNOWN:
                self._wider.clear()
            joined = {member: _hull(readers.spans.get(member, span), span) for member, span in spans.items()}
            self._wider[key] = spans, Readers({**readers.spans, **joined})
        return self._wider[key][1]

    def without(self, every: list[Readers], gone: frozenset[int]) -> dict[Readers, Readers]:
        """For each of some readers those that are left."""
        self._wider.clear()
        left = {}
        for readers in dict.fromkeys(every):
            spans = {member: span for member, span in readers.spans.items() if member not in gone}
            left[readers] = readers if len(spans) == len(readers.spans) else Readers(spans)
        return left


def _hull(one: Span, other: Span) -> Span:
    return min(one[0], other[0]), max(one[1], other[1])
