"""A corpus as many requests, a few of them under way at a time: their results as they come, in order."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from .client.job import Job, Progress
from .client.waiting import ACKNOWLEDGE_SECONDS
from .program.language import Text
from .program.texts import guessed_tokens

_SHOW_SECONDS = 0.2
_QUIET_SECONDS = 1.0

R = TypeVar("R")


def in_slices(texts: Iterable[Text], tokens: int) -> Iterator[tuple[int, tuple[Text, ...]]]:
    """Consecutive texts of about so many tokens, with the number of the first."""
    first, guessed = 0, 0
    taken: list[Text] = []
    for text in texts:
        taken.append(text)
        guessed += guessed_tokens(text)
        if guessed >= tokens:
            yield first, tuple(taken)
            first, taken, guessed = first + len(taken), [], 0
    if taken:
        yield first, tuple(taken)


def results(
    requests: Iterable[R],
    submit: Callable[[R], Job[Any]],
    release: Callable[[str], None],
    ahead: int,
    show: Callable[[Progress], Any] | None,
    size: Callable[[R], int],
    total: int = 0,
) -> Iterator[Any]:
    """The results of all requests in order, `ahead` of them asked for at once. `size` says how many texts a request has, of `total`
    (0 when that is not known). Whatever interrupts it, no job is left behind."""
    under_way: deque[tuple[R, Job[Any]]] = deque()
    begun, done = time.monotonic(), 0
    waiting = iter(requests)
    try:
        while True:
            while len(under_way) < ahead and (request := next(waiting, None)) is not None:
                under_way.append((request, submit(request)))
            if not under_way:
                return
            request, job = under_way[0]
            while not job.wait(_SHOW_SECONDS):
                spent = time.monotonic() - begun
                if show is not None and spent > _QUIET_SECONDS:
                    left = spent / done * (total - done) if done and total else 0.0
                    show(Progress("running", done=done, total=total, unit="texts", left=left))
            made = job.result()
            under_way.popleft()
            release(job.id)
            done += size(request)
            yield made
    finally:
        for _, job in under_way:
            job.cancel()
        for _, job in under_way:
            job.wait(ACKNOWLEDGE_SECONDS)
            release(job.id)
