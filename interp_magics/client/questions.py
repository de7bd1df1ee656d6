"""Questions to a pool that are answered once, each under a number."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import PoolUnavailable


@dataclass
class _Asked:
    event: threading.Event = field(default_factory=threading.Event)
    answer: Any = None


class Questions:
    """Numbers questions, and waits for what comes back under the number. `gone` says why nothing will come, or nothing."""

    def __init__(self, gone: Callable[[], str]) -> None:
        self._gone = gone
        self._asked: dict[int, _Asked] = {}
        self._lock = threading.Lock()
        self._numbers = 0

    def ask(self, send: Callable[[int], None], timeout: float, unanswered: str, again: float = math.inf) -> Any:
        """The answer to what `send` sends under a number; a question that may be asked twice is sent `again` so many seconds
        later, as it may have been lost. Raises PoolUnavailable when no answer comes in time."""
        asked = _Asked()
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._asked[number] = asked
        send(number)
        began = sent = time.monotonic()
        while not asked.event.wait(0.1):
            now = time.monotonic()
            if self._gone() or now - began > timeout:
                self._asked.pop(number, None)
                raise PoolUnavailable(self._gone() or unanswered)
            if now - sent > again:
                sent = now
                send(number)
        return asked.answer

    def answer(self, number: int, answer: Any) -> bool:
        """Something came under a number; whether anybody waits for it."""
        asked = self._asked.pop(number, None)
        if asked is None:
            return False
        asked.answer = answer
        asked.event.set()
        return True
