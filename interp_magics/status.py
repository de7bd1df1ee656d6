"""The state of a pool, as a person reads it."""

from dataclasses import dataclass
from typing import Any

from .wire.messages import PoolState


@dataclass(frozen=True)
class PoolStatus:
    """`state` as it was asked for; `str()` is a table."""

    state: PoolState

    def __str__(self) -> str:
        lines = [f"pool up {self.state.uptime:.0f} s, {self.state.running} running, {self.state.queued} queued"]
        for model in self.state.models:
            detail = f"{model.workers} worker{'s' * (model.workers != 1)}"
            if model.card:
                card = model.card
                detail += f", {card.parameters / 1e6:.1f} M parameters, {card.layers} layers, {card.dtype}"
            detail += f": {model.trouble}" if model.trouble else ""
            lines.append(f"  {model.name}: {model.state}, {detail}")
        for job in self.state.jobs[-10:]:
            waits = job.state == "queued" and job.ahead
            when = f", about {job.ahead} before it, in about {job.wait:.0f} s" if waits else ""
            spent = f", {job.seconds:.2f} s" if job.seconds else ""
            lines.append(f"  job {job.job}: {job.method} on {job.model}, {job.state}{when}{spent}")
        return "\n".join(lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))
