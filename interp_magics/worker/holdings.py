"""What a worker's process has at hand for all its jobs."""

from dataclasses import dataclass
from pathlib import Path

from ..launch.config import WorkLimits
from .held import HeldRows
from .scrubbing import Scrubbers
from .trainings import Trainings
from .vectors import VectorCache


@dataclass(frozen=True)
class Holdings:
    """Stored objects, rows that were asked to be kept, trainings that go on, where large results go, and how large they may
    be; what texts are cleaned with."""

    cache: VectorCache
    held: HeldRows
    trainings: Trainings
    spool: Path
    limits: WorkLimits
    scrubbers: Scrubbers

    def expire(self) -> None:
        """Let go of what has had its time."""
        self.held.expire()
        self.trainings.expire()
