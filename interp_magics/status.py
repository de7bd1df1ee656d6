"""The state of a pool, as a person reads it."""

from dataclasses import dataclass
from typing import Protocol

from .data.view import Viewed
from .wire.messages import PoolState
from .wire.standing import GroupInfo, JobInfo, ModelInfo


class Source(Protocol):
    """Where a newer state comes from, and where jobs are ended."""

    @property
    def endpoint(self) -> str: ...

    @property
    def closed(self) -> bool: ...

    def state(self, timeout: float = 10.0) -> PoolState: ...

    def cancel(self, job_id: str) -> None: ...


@dataclass(frozen=True)
class PoolStatus(Viewed):
    """`state` as it was asked for by `user`; `str()` is a table, a notebook shows a panel that goes on."""

    state: PoolState
    source: Source
    user: str = ""
    admin: bool = False

    def __str__(self) -> str:
        state = self.state
        held = [text for text, so in (("takes no new jobs", state.draining), ("paused", state.paused)) if so]
        lines = [
            f"pool up {state.uptime:.0f} s, {state.running} running, {state.queued} queued{''.join(f', {h}' for h in held)}"
        ]
        for model in state.models:
            waiting = f", {model.queued} waiting" if model.queued else ""
            trouble = f": {model.trouble}" if model.trouble else ""
            lines.append(f"  {model.name}: {model.state}, {described(model)}{waiting}{trouble}")
            lines += [
                f"    {_group(group)}" for group in state.groups if group.model == model.name and group.state != "gone"
            ]
        lines += [f"  {_job(job, self.user)}" for job in state.jobs[-10:]]
        return "\n".join(lines)

    __repr__ = __str__


def described(model: ModelInfo) -> str:
    """A model in a few words."""
    detail = f"{model.workers} worker{'s' * (model.workers != 1)}"
    if model.card:
        card = model.card
        detail += f", {card.parameters / 1e6:.1f} M parameters, {card.layers} layers, {card.dtype}"
    return detail


def _group(group: GroupInfo) -> str:
    return f"{group.name}: {group.state}, {group.running} running, load {100 * group.load:.0f} %"


def _job(job: JobInfo, user: str) -> str:
    when = f", about {job.ahead} before it, in about {job.wait:.0f} s" if job.state == "queued" and job.ahead else ""
    spent = f", {job.seconds:.2f} s" if job.seconds else ""
    owner = f" of {job.user}" if user and job.user != user else ""
    why = f" (not on {job.why})" if job.why else ""
    return f"job {job.job}{owner}: {job.method} on {job.model}, {job.state}{when}{spent}{why}"
