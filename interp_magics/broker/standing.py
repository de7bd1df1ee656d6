"""What a pool tells of itself: models, worker groups, jobs, what the asker has of what they may."""

import time
from collections.abc import Sequence
from typing import Literal

from msgspec import structs

from ..methods.plans import ablest
from ..wire.messages import PoolState
from ..wire.standing import GroupInfo, JobInfo, ModelInfo, Quota
from .access import Access
from .admission import Key
from .book import Book
from .corpora import Corpora
from .estimates import Estimates
from .jobs import Group, Job
from .rules import Rules
from .store import ObjectStore, Spool


class Standing:
    """The state of a pool, as it is asked for."""

    def __init__(
        self,
        book: Book,
        access: Access,
        store: ObjectStore,
        spool: Spool,
        rules: Rules,
        models: Sequence[str],
        corpora: Corpora,
        epoch: str,
    ) -> None:
        self._book, self._access, self._store, self._spool, self._rules = book, access, store, spool, rules
        self._models, self._epoch, self._started = tuple(models), epoch, time.monotonic()
        self._corpora = corpora
        self._estimates = Estimates(book)
        #: No new jobs are taken.
        self.draining = False
        #: Why nothing can be written down now, if that is so.
        self.trouble = ""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of what the pool may serve."""
        return self._models

    def state(self, who: Key, number: int, named: str = "") -> PoolState:
        """The newest jobs are listed, and the `named` one."""
        now = time.monotonic()
        return PoolState(
            number=number,
            epoch=self._epoch,
            models=tuple(self.model(name) for name in self._models),
            jobs=tuple(self._info(who, job, now) for job in self._access.all(who, named)),
            running=self._book.running,
            queued=self._book.queued,
            uptime=now - self._started,
            groups=tuple(_group(group, now) for _, group in sorted(self._book.groups.items())),
            quota=self._quota(who.user),
            draining=self.draining,
            paused=self._book.paused,
            corpora=self._corpora.infos,
        )

    def _info(self, who: Key, job: Job, now: float) -> JobInfo:
        info = self._estimates.info(job, now)
        mine = who.admin or job.key[0] == who.user
        return info if mine else structs.replace(info, shared=())

    def model(self, name: str) -> ModelInfo:
        groups = [g for g in self._book.groups.values() if g.model == name]
        up = [g for g in groups if g.state == "up"]
        troubles = [g.trouble if g.state == "failed" else g.awaited for g in groups if g.state in ("failed", "loading")]
        return ModelInfo(
            name=name,
            state=_state(groups),
            workers=len(up),
            queued=self._book.queued_for(name),
            card=ablest(cards) if (cards := [g.card for g in up if g.card]) else None,
            trouble=next((trouble for trouble in troubles if trouble), ""),
        )

    def _quota(self, user: str) -> Quota:
        allowed = self._rules.of(user)
        return Quota(
            weight=allowed.weight,
            queued=(self._book.queued_of(user), allowed.queued_jobs),
            rows=(self._book.rows_of(user), allowed.running_rows),
            stored=(self._store.used(user), allowed.store_bytes),
            results=(self._spool.used(user), allowed.result_bytes),
        )


def _state(groups: Sequence[Group]) -> Literal["waiting", "loading", "serving", "paused", "failed"]:
    """The state of a model from that of its groups."""
    states = {group.state for group in groups}
    if "up" in states:
        return "paused" if all(group.paused for group in groups if group.state == "up") else "serving"
    if states == {"failed"}:
        return "failed"
    return "loading" if states else "waiting"


def _group(group: Group, now: float) -> GroupInfo:
    state = group.state
    if state == "up" and group.held_back:
        state = "paused" if group.paused else "restarting"
    return GroupInfo(
        name=group.name,
        model=group.model,
        state=state,
        running=len(group.running),
        load=round(group.busy.share(now, bool(group.running)), 3),
        devices=group.devices,
        engine=group.engine,
    )
