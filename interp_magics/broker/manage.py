"""What an administrator may do to a running pool."""

import logging
import time
from collections.abc import Callable

from ..errors import RequestError, nearest
from ..wire.messages import Manage
from .book import Book
from .jobs import Group, Job
from .standing import Standing
from .upkeep import Upkeep

log = logging.getLogger(__name__)


class Management:
    """Acts on the pool, on one of its groups, or on all jobs of a user."""

    def __init__(self, book: Book, upkeep: Upkeep, standing: Standing, end: Callable[[Job], None]) -> None:
        """`end` cancels a job as its owner would."""
        self._book, self._upkeep, self._standing, self._end = book, upkeep, standing, end

    def do(self, manage: Manage) -> None:
        """Raises RequestError when there is no such target."""
        action, target = manage.action, manage.target
        if action == "drain":
            self._standing.draining = True
        elif action == "expel":
            self._expel(target)
        elif target:
            for group in self._groups(target):
                self._to_group(action, group)
        elif action in ("pause", "resume"):
            self._all(paused=action == "pause")
        else:
            raise RequestError(f"{action}: name a worker group or a model{nearest('', self._book.groups)}")

    def _all(self, paused: bool) -> None:
        self._book.paused = paused
        if not paused:
            self._standing.draining = False
            for group in self._book.groups.values():
                group.paused = False

    def _to_group(self, action: str, group: Group) -> None:
        if action in ("pause", "resume"):
            group.paused = action == "pause"
        elif action == "restart":
            group.restarting = True
            self._upkeep.restart_idle()
        else:
            self._upkeep.kick(group, "an administrator asked for it")

    def _groups(self, name: str) -> list[Group]:
        """The group of that name, or all of the model of that name."""
        groups = self._book.groups
        found = [groups[name]] if name in groups else [group for group in groups.values() if group.model == name]
        if not found:
            raise RequestError(f"there is no worker group {name!r}{nearest(name, groups)}")
        return found

    def _expel(self, user: str) -> None:
        jobs = [job for job in self._book.of_user(user) if not job.ended_state]
        if not jobs:
            raise RequestError(f"{user!r} has no job that waits or runs")
        log.info("all %d jobs of %s are ended at %.0f", len(jobs), user, time.time())
        for job in jobs:
            self._end(job)
