"""What a request would cost."""

from typing import Any

import msgspec


class Estimate(msgspec.Struct, frozen=True):
    """What a request would cost, all of it estimated: tokens read, seconds of work, bytes of result, jobs before it. `texts` is 0 where
    they are not known."""

    method: str
    model: str
    texts: int
    tokens: int
    seconds: float
    result_bytes: int
    held_bytes: int
    ahead: int

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def __str__(self) -> str:
        size = f"{self.result_bytes / 1e6:.1f} MB" if self.result_bytes > 1e5 else f"{self.result_bytes / 1e3:.1f} kB"
        place = f"{self.ahead} jobs before it" if self.ahead else "nothing before it"
        texts = f" of {self.texts} text{'s' * (self.texts != 1)}" if self.texts else ""
        what = f"{self.method}{texts}, {self.tokens} tokens on {self.model}"
        return f"{what}: about {_time(self.seconds)} of work, {size} of result, {place} (estimates)"


def _time(seconds: float) -> str:
    return (
        f"{seconds:.2g} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )
