"""The audit record: who had what done, what it cost, who saw it. Texts only when that is switched on.

One JSON object a line, in a file that only the pool's owner reads.
"""

import logging
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from ..methods import plans
from ..methods.requests import Request
from ..wire.messages import Manage, Read, Share
from .jobs import Job

log = logging.getLogger(__name__)


class Audit:
    """Writes to `path`; to nothing when that is None."""

    def __init__(self, path: Path | None, texts: bool = False) -> None:
        """`texts` keeps what was asked, too. Raises OSError when the file cannot be written."""
        self._texts = texts
        self._file = None
        if path is not None:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def submitted(self, job: Job, request: Request) -> None:
        said: dict[str, Any] = {"model": job.model, "method": job.method, "texts": len(plans.texts(request))}
        if self._texts:
            said["request"] = request
        self._say("submitted", job.key[0], job=job.key[1], **said)

    def ended(self, job: Job) -> None:
        code = job.failure.code if job.failure else ""
        self._say(
            job.state, job.key[0], job=job.key[1], seconds=round(job.seconds, 3), work=round(job.spent, 3), code=code
        )

    def shared(self, user: str, job: Job, share: Share) -> None:
        self._say("shared", user, job=job.key[1], owner=job.key[0], users=share.users, groups=share.groups)

    def read(self, user: str, read: Read) -> None:
        self._say("read", user, corpus=read.corpus, file=read.file)

    def managed(self, user: str, manage: Manage) -> None:
        self._say(manage.action, user, target=manage.target)

    def admitted(self, user: str, how: str) -> None:
        self._say("admitted", user, how=how)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _say(self, what: str, user: str, **more: Any) -> None:
        if self._file is None:
            return
        line = msgspec.json.encode({"time": round(time.time(), 3), "what": what, "user": user, **more}) + b"\n"
        try:
            os.write(self._file, line)
        except OSError as error:
            log.error("the audit record cannot be written: %s", error)
