"""Worker groups that are to be started anew: when an administrator asks, a job is not left, or nothing is heard."""

import logging
import time

from ..wire.messages import Drain, Restart
from ..wire.standing import Limits
from .book import Book
from .jobs import Group, Job
from .outbox import Outbox

log = logging.getLogger(__name__)

#: A nanny may have missed that its group is to be started anew.
_TELL_AGAIN = 2.0


class Upkeep:
    """Tells nannies and processes to end."""

    def __init__(self, book: Book, outbox: Outbox, limits: Limits) -> None:
        self._book, self._out, self._limits = book, outbox, limits

    def kick(self, group: Group, why: str, died: bool = False) -> None:
        """Have a group started anew at once. Its jobs go back to the queue; unless it `died` of them, none is blamed."""
        log.warning("group %s is started anew: %s", group.name, why)
        group.kicked, group.word = group.kicked or not died, time.monotonic()
        group.told = group.word
        self._out.worker(group.nanny, Restart())

    def kick_again(self, group: Group, now: float) -> None:
        """A process that was to be ended still speaks: its nanny may have missed that."""
        if group.kicked and now - group.told > _TELL_AGAIN:
            group.told = now
            self._out.worker(group.nanny, Restart())

    def restart_idle(self) -> None:
        """Start groups anew that were waiting for their last job to end."""
        for group in self._book.groups.values():
            if group.restarting and group.state == "up" and not group.running:
                self._out.worker(group.route, Drain())

    def enforce(self, now: float) -> None:
        """Start groups anew that do not leave a cancelled job in time, or that give no sign while they run jobs."""
        for group in self._book.groups.values():
            if group.state != "up" or group.kicked or not group.running:
                continue
            late = [job for job in self._jobs(group) if job.cancelling]
            if any(now - job.left > self._limits.cancel_seconds for job in late):
                self.kick(group, "it does not leave a cancelled job")
            elif now - max(group.word, *(job.handed for job in self._jobs(group))) > self._limits.stall_seconds:
                self.kick(group, "it has given no sign for too long", died=True)

    def _jobs(self, group: Group) -> list[Job]:
        return [self._book.jobs[key] for key in group.running]
