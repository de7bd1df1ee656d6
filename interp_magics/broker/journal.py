"""What a broker must not forget, in one SQLite file: jobs, and the bytes on its shelves.

Writing is asked for at any time and done by `commit`, all at once, before anything is said to anybody. The write-ahead log is
not forced to the disk at each commit: what was accepted outlives the death of any process, not a power cut.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ..errors import PoolUnavailable
from ..methods.requests import Request
from ..wire.messages import Failure
from ..wire.standing import JobState
from .jobs import Job

log = logging.getLogger(__name__)

#: Of the tables below; a file of another version is refused.
VERSION = 1
_TABLES = """
CREATE TABLE jobs(number INTEGER PRIMARY KEY, user TEXT NOT NULL, id TEXT NOT NULL, record BLOB NOT NULL, request BLOB);
CREATE TABLE kept(number INTEGER PRIMARY KEY, shelf TEXT NOT NULL, user TEXT NOT NULL, name TEXT NOT NULL,
                  size INTEGER NOT NULL, until REAL NOT NULL, file TEXT, data BLOB);
"""


class JournalError(Exception):
    """The journal cannot be written; the message says why."""


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A job as the journal has it; times are of the wall clock, `parts` counts those of a job that is run in slices."""

    model: str
    method: str
    priority: str
    objects: tuple[str, ...]
    submitted: float
    near: str
    state: JobState
    attempt: int
    strikes: int
    suspect: bool
    cancelling: bool
    group: str
    epoch: str
    ended: float
    seconds: float
    failure: Failure | None
    texts: int
    parent: str
    parts: int
    cost: float
    predicted: bool
    shared: tuple[str, ...]
    groups: tuple[str, ...] = ()
    size: int = 0
    spent: float = 0.0


class Journal:
    """One file, one broker. Raises PoolUnavailable when another broker has it, or it is not a journal of this version."""

    def __init__(self, path: Path) -> None:
        self._pending: list[tuple[str, tuple[Any, ...]]] = []
        self._then: list[Callable[[], None]] = []
        self._wall = time.time() - time.monotonic()
        try:
            self._file = sqlite3.connect(path, isolation_level=None, timeout=0.0, check_same_thread=False)
            path.chmod(0o600)
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
                self._file.execute(f"PRAGMA {pragma}")
            (version,) = self._file.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._file.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version={VERSION};COMMIT")
            else:
                self._file.executescript("BEGIN IMMEDIATE;COMMIT")
        except sqlite3.Error as error:
            self._close()
            locked = "locked" in str(error)
            why = "another broker has it" if locked else f"{error}"
            raise PoolUnavailable(
                f"the pool's journal {path} cannot be opened: {why}; {'end that one' if locked else 'move it away'} first"
            ) from None
        if version not in (0, VERSION):
            self._close()
            raise PoolUnavailable(
                f"the pool's journal {path} is of version {version}, this broker reads {VERSION}: move it away, or run the "
                "version that wrote it"
            )

    def add(self, job: Job) -> None:
        """A job is new."""
        request = msgspec.json.encode(job.request) if job.request is not None else None
        self._ask("INSERT INTO jobs VALUES(?,?,?,?,?)", job.number, *job.key, self._record(job, ""), request)

    def update(self, job: Job, epoch: str) -> None:
        """A job has changed; `epoch` is of the worker process that runs it."""
        change = "UPDATE jobs SET record=?, request=iif(?, NULL, request) WHERE number=?"
        self._ask(change, self._record(job, epoch), job.ended_state, job.number)

    def forget(self, number: int) -> None:
        """A job is gone."""
        self._ask("DELETE FROM jobs WHERE number=?", number)

    def keep(
        self,
        number: int,
        shelf: str,
        key: tuple[str, str],
        size: int,
        until: float,
        held: str | bytes,
        then: Callable[[], None],
    ) -> None:
        """Bytes lie on a shelf: themselves, or the name of their file. `then` is called once that is written."""
        file, data = (held, None) if isinstance(held, str) else (None, held)
        self._ask("INSERT INTO kept VALUES(?,?,?,?,?,?,?,?)", number, shelf, *key, size, until + self._wall, file, data)
        self._then.append(then)

    def prolong(self, number: int, until: float) -> None:
        self._ask("UPDATE kept SET until=? WHERE number=?", until + self._wall, number)

    def drop(self, number: int) -> None:
        self._ask("DELETE FROM kept WHERE number=?", number)

    def commit(self) -> None:
        """Write what was asked for, all or nothing. Raises JournalError; the same is then tried again at the next commit."""
        if not self._pending:
            return
        try:
            self._file.execute("BEGIN IMMEDIATE")
            for statement, values in self._pending:
                self._file.execute(statement, values)
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._file.execute("ROLLBACK")
            raise JournalError(str(error)) from error
        self._pending.clear()
        done, self._then = self._then, []
        for then in done:
            then()

    def jobs(self) -> Iterator[tuple[Job, str]]:
        """All jobs in the order of their submission, each with the epoch of the worker process that ran it."""
        for number, user, name, record, request in self._file.execute("SELECT * FROM jobs ORDER BY number"):
            read = msgspec.json.decode(record, type=_Record)
            wanted = msgspec.json.decode(request, type=Request) if request else None
            yield self._job(number, (user, name), read, wanted), read.epoch

    def kept(self, shelf: str) -> Iterator[tuple[int, tuple[str, str], int, float, str | None]]:
        """(number, key, size, until, file) of what lies on a shelf."""
        rows = self._file.execute("SELECT number, user, name, size, until, file FROM kept WHERE shelf=?", (shelf,))
        for number, user, name, size, until, file in rows:
            yield number, (user, name), size, until - self._wall, file

    def data(self, number: int) -> bytes:
        """Bytes that lie in the journal itself."""
        (data,) = self._file.execute("SELECT data FROM kept WHERE number=?", (number,)).fetchone()
        return bytes(data)

    def close(self) -> None:
        """Write what is left, and let another broker have the file."""
        with suppress(JournalError):
            self.commit()
        self._close()

    def _close(self) -> None:
        with suppress(AttributeError):
            self._file.close()

    def _ask(self, statement: str, *values: Any) -> None:
        self._pending.append((statement, values))

    def _record(self, job: Job, epoch: str) -> bytes:
        record = _Record(
            model=job.model,
            method=job.method,
            priority=job.priority,
            objects=job.objects,
            submitted=job.submitted + self._wall,
            near=job.near,
            state=job.state,
            attempt=job.attempt,
            strikes=job.strikes,
            suspect=job.suspect,
            cancelling=job.cancelling,
            group=job.group,
            epoch=epoch,
            ended=job.ended + self._wall,
            seconds=job.seconds,
            failure=job.failure,
            texts=job.texts,
            parent=job.parent[1] if job.parent else "",
            parts=len(job.parts),
            cost=job.cost,
            predicted=job.predicted,
            shared=tuple(sorted(job.shared)),
            groups=job.groups,
            size=job.size,
            spent=job.spent,
        )
        return msgspec.json.encode(record)

    def _job(self, number: int, key: tuple[str, str], read: _Record, request: Request | None) -> Job:
        user, name = key
        return Job(
            key=key,
            model=read.model,
            request=request,
            method=read.method,
            priority=read.priority,
            objects=read.objects,
            number=number,
            submitted=read.submitted - self._wall,
            near=read.near,
            state=read.state,
            attempt=read.attempt,
            strikes=read.strikes,
            suspect=read.suspect,
            cancelling=read.cancelling,
            group=read.group,
            ended=read.ended - self._wall,
            seconds=read.seconds,
            failure=read.failure,
            texts=read.texts,
            parent=(user, read.parent) if read.parent else None,
            parts=tuple((user, f"{name}/{part}") for part in range(read.parts)),
            cost=read.cost,
            predicted=read.predicted,
            shared=set(read.shared),
            groups=read.groups,
            size=read.size,
            spent=read.spent,
        )
