"""How long work really takes, and whose it was."""

from collections.abc import Sequence

from .jobs import Group, Job

_WEIGHT, _LEAST, _MOST = 0.2, 0.01, 100.0


class Pace:
    """For each model and method the ratio of measured to predicted seconds: a moving mean of what has ended."""

    def __init__(self) -> None:
        self._ratios: dict[tuple[str, str], float] = {}

    def expected(self, model: str, method: str, predicted: float) -> float:
        """Predicted seconds, corrected by what was measured."""
        return predicted * self._ratios.get((model, method), 1.0)

    def learn(self, model: str, method: str, predicted: float, measured: float) -> None:
        """A job that was predicted to take some time has taken another."""
        if predicted > 0:
            ratio = min(_MOST, max(_LEAST, measured / predicted))
            old = self._ratios.get((model, method), ratio)
            self._ratios[model, method] = (1 - _WEIGHT) * old + _WEIGHT * ratio


def share_out(group: Group, batch: Sequence[Job], now: float) -> None:
    """Share the time since a group was last looked at out among the jobs of its batch."""
    for job in batch:
        job.work += (now - group.metered) / len(batch)
    group.metered = now
