"""From a choice of positions to a mask over one row, before and while it grows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import RequestError, nearest
from .language import After, All, At, First, Generated, Last, Positions, Prompt, Span

Mask = npt.NDArray[np.bool_]


_NAMES: dict[str, Positions] = {
    "all": All(),
    "first": First(),
    "last": Last(),
    "prompt": Prompt(),
    "generated": Generated(),
}


def parse_positions(given: object) -> Positions:
    """A choice of positions from its name, numbers, or a struct such as Span("Paris"). Raises RequestError."""
    if isinstance(given, Positions):
        return given
    if isinstance(given, str):
        if given not in _NAMES:
            raise RequestError(f"unknown positions {given!r}{nearest(given, _NAMES)}")
        return _NAMES[given]
    numbers = np.atleast_1d(np.asarray(given))
    if numbers.ndim != 1 or not (numbers.size == 0 or np.issubdtype(numbers.dtype, np.integer)):
        raise RequestError(f"positions are a name ({', '.join(_NAMES)}), whole numbers or a struct, not {given!r}")
    if numbers.size == 0:
        raise RequestError("no position was chosen; give at least one, or 'all'")
    return At(tuple(int(p) for p in numbers))


@dataclass(frozen=True)
class Selection:
    """Positions of one row: `prompt` [P] is a mask, `generated` whether all later ones belong to it, `after` a token whose
    first occurrence among the generated ones opens the rest."""

    prompt: Mask
    generated: bool
    after: int | None = None

    def mask(self, start: int, stop: int, completion: Sequence[int]) -> Mask:
        """Which of the positions `start` to `stop` - 1 are chosen, `completion` being the tokens generated so far."""
        prompt = len(self.prompt)
        opened = prompt if self.generated else stop
        if self.after is not None and self.after in completion:
            opened = prompt + list(completion).index(self.after) + 1
        places = np.arange(start, stop)
        chosen = places >= opened
        inside = places < prompt
        chosen[inside] = self.prompt[places[inside]]
        return chosen


def resolve(
    positions: Positions, ids: Sequence[int], offsets: Sequence[tuple[int, int]] | None, text: str
) -> Selection:
    """The selection that `positions` makes in a row whose prompt is `ids`.

    `offsets` are the character spans of the prompt's tokens in `text`, None when the row was given as ids. Raises
    RequestError for a position outside the prompt or a span that does not occur.
    """
    count = len(ids)
    if isinstance(positions, All):
        return Selection(np.ones(count, bool), True)
    if isinstance(positions, Prompt):
        return Selection(np.ones(count, bool), False)
    if isinstance(positions, Generated):
        return Selection(np.zeros(count, bool), True)
    if isinstance(positions, After):
        return _after(positions.token, ids)
    return Selection(_marked(_places(positions, count, offsets, text), count), False)


def _after(token: int, ids: Sequence[int]) -> Selection:
    if token not in ids:
        return Selection(np.zeros(len(ids), bool), False, token)
    return Selection(np.arange(len(ids)) > list(ids).index(token), True)


def _places(
    positions: First | Last | At | Span, count: int, offsets: Sequence[tuple[int, int]] | None, text: str
) -> Sequence[int]:
    if isinstance(positions, First):
        return [0]
    if isinstance(positions, Last):
        return [count - 1]
    if isinstance(positions, Span):
        return _span(positions.text, offsets, text)
    for place in positions.positions:
        if not -count <= place < count:
            raise RequestError(f"position {place} is outside the prompt, which has {count} tokens (0 to {count - 1})")
    return [place % count for place in positions.positions]


def _span(wanted: str, offsets: Sequence[tuple[int, int]] | None, text: str) -> Sequence[int]:
    if offsets is None:
        raise RequestError("a span of text needs a prompt given as text or chat, not as token ids")
    start = text.find(wanted)
    if start < 0 or not wanted:
        raise RequestError(f"the span {wanted!r} does not occur in the prompt")
    stop = start + len(wanted)
    return [i for i, (left, right) in enumerate(offsets) if left < stop and right > start]


def _marked(places: Sequence[int], count: int) -> Mask:
    mask = np.zeros(count, bool)
    mask[list(places)] = True
    return mask
