"""What a job that waits asks of the groups: the engine that it needs, the group that holds what it follows up, its cost."""

from collections.abc import Collection, Iterable

from ..errors import RequestError
from ..methods.plans import engines, least_able
from ..program.cards import ModelCard
from .jobs import Group, Job
from .schedule import Waiting
from .work import LEAST_COST, Pace


def cards_of(groups: Iterable[Group], model: str) -> tuple[ModelCard, ...]:
    """The cards of a model, one for each engine that serves it: of several groups that of the one that can do least, since a job
    may come to any of them."""
    found: dict[str, ModelCard] = {}
    for group in groups:
        if group.model == model and group.card and group.state != "failed":
            known = found.get(group.engine)
            found[group.engine] = least_able(group.card, known) if known else group.card
    return tuple(found.values())


def waiting(job: Job, groups: Collection[Group], pace: Pace) -> Waiting:
    """A job as the schedule sees it; why it needs its engine is noted in the job."""
    near = next((group.name for group in groups if job.near and group.epoch == job.near), "")
    return Waiting(
        job.key,
        job.model,
        job.number,
        job.priority,
        job.suspect,
        near,
        part=bool(job.parent),
        cost=max(LEAST_COST, pace.expected(job.model, job.method, job.cost)),
        rows=job.texts,
        since=job.submitted,
        engine=_engine(job, cards_of(groups, job.model)),
    )


def _engine(job: Job, cards: tuple[ModelCard, ...]) -> str:
    """The engine that a job needs. What none can run is refused by whichever has it."""
    if len(cards) < 2 or job.request is None:
        return ""
    try:
        engine, job.why = engines(job.request, cards)
    except RequestError:
        return ""
    return engine
