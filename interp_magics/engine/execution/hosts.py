"""Hosts on the way between an engine and who drives it, where several ranks do the same."""

from collections.abc import Callable, Sequence

from ..protocol import Host, Outcome, Quiet, Reading, Room, RowOutcome, Task, Wish
from ..ranks import Ranks
from . import calls


class Leading:
    """The host at rank 0: its tasks have numbers of their own, and the other ranks are told when a pause is over and what
    joins."""

    def __init__(self, host: Host, ranks: Ranks) -> None:
        self._host, self._ranks = host, ranks
        self._given = 0
        self._numbers: list[int] = []

    def ready(self, tasks: Sequence[Task]) -> list[Task]:
        """The host's next tasks with their vectors in hand; the host is told of those whose vectors cannot be had."""
        made = []
        for number, task in enumerate(tasks, self._given):
            try:
                made.append(Task(task.program, calls.carried(task.program, task.objects)))
                self._numbers.append(number)
            except Exception as error:
                self._host.finished(number, error)
        self._given += len(tasks)
        return made

    def cancelled(self, task: int) -> bool:
        return self._host.cancelled(self._numbers[task])

    def generated(self, task: int, row: int, completion: Sequence[int]) -> None:
        self._host.generated(self._numbers[task], row, completion)

    def decoded(self, task: int, rows: Sequence[RowOutcome], readings: Sequence[Reading]) -> None:
        self._host.decoded(self._numbers[task], rows, readings)

    def finished(self, task: int, result: Outcome | Exception) -> None:
        self._host.finished(self._numbers[task], result)

    def wish(self, joins: bool) -> Wish:
        return self._host.wish(joins)

    def pause(self) -> None:
        self._host.pause()
        calls.end(self._ranks)

    def joining(self, room: Room) -> Sequence[Task]:
        tasks = self.ready(self._host.joining(room))
        calls.send(self._ranks, tasks)
        return tasks


class Following(Quiet):
    """The host at the other ranks: in a pause they do what rank 0 does, and what joins there joins here."""

    def __init__(self, ranks: Ranks, follow: Callable[[], None]) -> None:
        self._ranks, self._follow = ranks, follow

    def pause(self) -> None:
        self._follow()

    def joining(self, room: Room) -> Sequence[Task]:
        call = calls.receive(self._ranks)
        return call.tasks if call else ()
