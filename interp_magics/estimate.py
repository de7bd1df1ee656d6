"""What a request would cost."""

from typing import Any

import msgspec


class Estimate(msgspec.Struct, frozen=True):
    """What a request would cost, all of it estimated: tokens read, seconds of work, bytes of result, jobs before it."""

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
        what = f"{self.method} of {self.texts} text{'s' * (self.texts != 1)}, {self.tokens} tokens on {self.model}"
        return f"{what}: about {self.seconds:.2g} s of work, {size} of result, {place} (estimates)"
