"""How long work really takes, and whose it was."""

from collections.abc import Sequence

from .jobs import Group, Job

_WEIGHT, _LEAST, _MOST = 0.2, 0.01, 100.0
#: Seconds that every job counts for at least while it runs.
LEAST_COST = 0.01


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
    """Share the time since a group was last looked at out among jobs, by what each was predicted to take."""
    total = sum(weight(job) for job in batch)
    for job in batch:
        job.work += (now - group.metered) * weight(job) / total
    group.metered = now


def weight(job: Job) -> float:
    """What a job counts for in its batch: its predicted seconds, and no less than a floor."""
    return max(LEAST_COST, job.view.cost if job.view else job.cost)
