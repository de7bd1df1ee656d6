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
        sure = sure[: _first_stop(sure, self._stop)]
        return self._take(sure) if sure.startswith(self._sent) else ""

    def rest(self, text: str) -> str | None:
        """What is left of the whole text; None when what was sent is not its beginning."""
        return self._take(text) if text.startswith(self._sent) else None

    def _take(self, text: str) -> str:
        new = text[len(self._sent) :]
        self._sent = text
        return new


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
