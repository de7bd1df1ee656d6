"""Hosts on the way between an engine and who drives it."""

from collections.abc import Callable, Sequence

from ..protocol import Host, Quiet, Reading, RowOutcome
from ..ranks import Ranks
from . import calls


class Leading:
    """The host at rank 0: its tasks have numbers of their own, and the other ranks are told when a pause is over."""

    def __init__(self, host: Host, numbers: list[int], ranks: Ranks) -> None:
        self._host, self._numbers, self._ranks = host, numbers, ranks

    def cancelled(self, task: int) -> bool:
        return self._host.cancelled(self._numbers[task])

    def generated(self, task: int, row: int, completion: Sequence[int]) -> None:
        self._host.generated(self._numbers[task], row, completion)

    def decoded(self, task: int, rows: Sequence[RowOutcome], readings: Sequence[Reading]) -> None:
        self._host.decoded(self._numbers[task], rows, readings)

    def waiting(self) -> bool:
        return self._host.waiting()

    def pause(self) -> None:
        self._host.pause()
        calls.end(self._ranks)


class Undisturbed(Quiet):
    """A host that lets nothing in between: the model's attention is not its usual one."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def cancelled(self, task: int) -> bool:
        return self._host.cancelled(task)

    def generated(self, task: int, row: int, completion: Sequence[int]) -> None:
        self._host.generated(task, row, completion)

    def decoded(self, task: int, rows: Sequence[RowOutcome], readings: Sequence[Reading]) -> None:
        self._host.decoded(task, rows, readings)


class Following(Quiet):
    """The host at the other ranks: in a pause they do what rank 0 does."""

    def __init__(self, follow: Callable[[], None]) -> None:
        self._follow = follow

    def pause(self) -> None:
        self._follow()
