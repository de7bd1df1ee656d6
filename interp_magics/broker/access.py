"""Who may see a job: its owner, those it is shared with, an administrator. To everybody else it does not exist."""

from collections.abc import Collection
from itertools import islice

from ..errors import RequestError
from .admission import Key
from .book import Book
from .jobs import Job

LISTED, LISTED_SHARED = 200, 50
MOST_SHARED = 256


class Access:
    """Finds jobs by their ids for those who ask."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._shared: dict[str, list[Job]] = {}
        for job in book.jobs.values():
            if job.shared:
                self._shared.setdefault(job.key[1], []).append(job)

    def share(self, job: Job, names: Collection[str]) -> None:
        """Let users, and groups named "@group", see a job. Raises RequestError when that are too many."""
        if len(job.shared | set(names)) > MOST_SHARED:
            raise RequestError(f"a job is shared with {MOST_SHARED} users and groups at most; name a group of them all")
        if not job.shared:
            self._shared.setdefault(job.key[1], []).append(job)
        job.shared.update(names)
        self._book.note(job)

    def forget(self, job: Job) -> None:
        """A job is gone."""
        left = [other for other in self._shared.pop(job.key[1], []) if other is not job]
        if left:
            self._shared[job.key[1]] = left

    def seen(self, who: Key, job_id: str) -> Job | None:
        """The job that one may see: one's own before another's."""
        own = self.owned(who, job_id)
        if own:
            return own
        return next((job for job in self._shared.get(job_id, ()) if _names(who) & job.shared), None)

    def owned(self, who: Key, job_id: str) -> Job | None:
        """The job that one may end or give away: one's own, or for an administrator anybody's."""
        own = self._book.jobs.get((who.user, job_id))
        if own or not who.admin:
            return own if own and not own.parent else None
        return next((job for job in self._book.jobs.values() if job.key[1] == job_id and not job.parent), None)

    def all(self, who: Key, named: str = "") -> list[Job]:
        """The newest jobs that one may see, in the order of submission: one's own, and some that others have shared; and the
        one of that name."""
        names = _names(who)
        shared = [
            job for jobs in self._shared.values() for job in jobs if job.key[0] != who.user and names & job.shared
        ]
        newest = sorted(shared, key=lambda job: job.number)[-LISTED_SHARED:]
        found = {job.number: job for job in (*islice(self._book.of_user(who.user), LISTED), *newest)}
        if older := self.seen(who, named):
            found[older.number] = older
        return [found[number] for number in sorted(found)]


def _names(who: Key) -> set[str]:
    return {who.user, *(f"@{group}" for group in who.groups)}
