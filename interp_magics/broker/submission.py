"""What a user asks for becomes a job, or is refused before it costs anything."""

import time

from ..errors import RequestError, nearest
from ..methods import plans, slices
from ..methods.bounds import check_bounds
from ..methods.requests import Request
from ..program.cards import ModelCard
from ..program.language import digests
from ..program.texts import guessed_tokens
from ..wire.frames import MAX_CLIENT_HEADER, encode
from ..wire.messages import Failure, Submit
from ..wire.standing import Limits
from .admission import Key
from .book import Book
from .jobs import Job
from .rules import Rules
from .standing import Standing
from .store import ObjectStore

#: Jobs of one user that are known, ended ones too: the oldest of these make room.
MOST_JOBS = 25_000
#: Bytes that the parts of a sliced job may repeat of its request, and from where on a request is measured again.
MOST_REPEATED, LARGE = 64 << 20, 1 << 20


class Submission:
    """Looks at requests."""

    def __init__(self, book: Book, store: ObjectStore, limits: Limits, rules: Rules, standing: Standing) -> None:
        self._book, self._store, self._limits, self._rules, self._standing = book, store, limits, rules, standing

    def accept(self, who: Key, submit: Submit, size: int) -> Job:
        """The job, in slices where it is long; `size` is the bytes of its header."""
        objects = tuple(sorted(digests(submit.request)))
        self._store.prolong(who.user, objects, time.monotonic())
        card = self._standing.model(submit.model).card
        most, result = self._limits.slice_seconds, self._rules.of(who.user).result_bytes
        parts = slices.split(submit.request, card, most, result) if card else (submit.request,)
        if len(parts) * size > MOST_REPEATED:
            parts = (submit.request,)
        costs = [_seconds(part, card) for part in parts] if card else ()
        key, groups = (who.user, submit.job), tuple(sorted(who.groups))
        now = time.monotonic()
        return self._book.submit(key, submit.model, parts, submit.priority, objects, now, costs, size, groups)

    def trouble(self, who: Key, submit: Submit, size: int) -> Failure | None:
        """Why a request is refused before it costs anything."""

        def failure(code: str, message: str, missing: tuple[str, ...] = ()) -> Failure:
            return Failure(code=code, message=message, job=submit.job, missing=missing)

        user = who.user
        models, most = self._standing.models, self._rules.of(user).queued_jobs
        if submit.model not in models:
            return failure("bad_request", f"the pool does not serve {submit.model!r}{nearest(submit.model, models)}")
        if self._standing.draining:
            return failure("draining", "the pool takes no new jobs: it is being drained; try again later")
        if self._standing.trouble:
            return failure(
                "storage", f"the pool cannot write down what it is asked ({self._standing.trouble}); try again later"
            )
        info = self._standing.model(submit.model)
        if info.state == "failed":
            return failure("model_failed", info.trouble or f"{submit.model} could not be loaded")
        if self._book.queued_of(user) >= most:
            return failure(
                "busy", f"you have {most} jobs or parts of jobs waiting already; submit more when some are done"
            )
        if self._book.bytes_of(user) + size > self._limits.queued_bytes:
            return failure("busy", "your requests that wait are too large together; submit more when some are done")
        if self._book.count_of(user) >= MOST_JOBS:
            return failure("busy", f"you have {MOST_JOBS:,} jobs here that have not ended; submit more when some have")
        try:
            check_bounds(submit.request)
            if size > LARGE and len(encode(submit.request)) > MAX_CLIENT_HEADER:
                raise RequestError("the request is longer than a worker takes; send fewer texts at a time")
        except RequestError as error:
            return failure("bad_request", str(error))
        missing = self._store.missing(user, tuple(sorted(digests(submit.request))))
        if missing:
            return failure("missing", "objects must be put first", missing)
        try:
            plans.engines(submit.request, self._book.cards(submit.model))
        except RequestError as error:
            return failure("bad_request", str(error))
        return None


def _seconds(request: Request, card: ModelCard) -> float:
    """What a request is predicted to take, its tokens guessed."""
    return plans.cost(request, card, [guessed_tokens(text) for text in plans.texts(request)]).seconds(card)
