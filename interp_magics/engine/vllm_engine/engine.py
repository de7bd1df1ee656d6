"""The production engine: tasks in, outcomes out, their rows scheduled by vLLM."""

from collections.abc import Callable, Mapping, Sequence

from ...program.cards import ModelCard
from ..execution.engine import ProgramEngine
from ..protocol import Host, Task
from ..readout import Readout
from ..tokens import Tokens
from .course import Course
from .flight import Flight


class VllmEngine(ProgramEngine):
    """Runs programs on one vLLM: all that is asked at a time is one flight."""

    def __init__(
        self, flight: Flight, card: ModelCard, tokens: Tokens, readout: Readout, close: Callable[[], None]
    ) -> None:
        super().__init__(card, tokens, readout)
        self._flight, self._close = flight, close

    def execute(self, tasks: Sequence[Task], host: Host) -> None:
        Course(self._flight, self.card, self.tokens, self._readout, host).run(tasks)

    def figures(self) -> Mapping[str, float]:
        return self._flight.figures()

    def close(self) -> None:
        self._close()
