"""A text that is sent while it grows: what has been sent is never taken back."""

from collections.abc import Sequence

#: What a decoder puts for bytes that are no whole character yet.
_BROKEN = "\ufffd"


class Growing:
    """One completion on its way; `stop` strings end it, and are not part of it."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop, self._sent = tuple(stop), ""

    def more(self, text: str) -> str:
        """What can be sent of the text as far as it is there: not what the next tokens may still change."""
        sure = text.rstrip(_BROKEN)
        return self._new(sure[: _first_stop(sure, self._stop)]) or ""

    def rest(self, text: str) -> str | None:
        """What is left of the whole text; None when another was sent. Characters that were sent whole, and are broken in the end by bytes
        that follow them, stay as they were sent."""
        return self._new(text)

    def _new(self, text: str) -> str | None:
        known = _alike(text, self._sent)
        after = text[known:]
        if known < len(self._sent):
            if not after.startswith(_BROKEN):
                return None
            after = after.lstrip(_BROKEN)
        if after:
            self._sent = text
        return after


def _alike(text: str, other: str) -> int:
    """How many of the first characters are the same."""
    both = enumerate(zip(text, other, strict=False))
    return next((i for i, (one, another) in both if one != another), min(len(text), len(other)))


def _first_stop(text: str, stop: Sequence[str]) -> int:
    """Where a stop string begins, or may begin that the text does not hold whole."""
    whole = (place for one in stop if (place := text.find(one)) >= 0)
    begun = (
        len(text) - length
        for one in stop
        for length in range(1, min(len(one), len(text) + 1))
        if text.endswith(one[:length])
    )
    return min((*whole, *begun), default=len(text))
