"""The reference engine: tasks in, outcomes out, their rows sharing passes."""

from collections.abc import Sequence

from ...program.cards import ModelCard
from ..execution.engine import ProgramEngine
from ..protocol import Host, Task
from .course import Course
from .loop import Runner


class TransformersEngine(ProgramEngine):
    """Runs programs in batches of its own."""

    def __init__(self, runner: Runner, card: ModelCard) -> None:
        super().__init__(card, runner.tokens, runner.readout)
        self._runner = runner

    def execute(self, tasks: Sequence[Task], host: Host) -> None:
        Course(self._runner, self.card, host).run(tasks)
