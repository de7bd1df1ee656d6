"""A connection to a pool: what it serves, what it allows, what of mine it knows."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, get_args

from .client.connection import Connection
from .client.job import Job, Progress
from .corpora import Piece, PoolCorpus
from .data import results
from .errors import PoolUnavailable, RemoteError, RequestError, nearest, one_of
from .program.cards import ModelCard
from .status import PoolStatus
from .wire.messages import Action
from .wire.standing import JobInfo, Limits

_LOAD_SECONDS = 600.0


class Attached:
    """What a pool is to the one who is connected to it. Also a context manager."""

    def __init__(
        self, connection: Connection, close: Callable[[], None] = lambda: None, model: str | None = None
    ) -> None:
        self._connection, self._close = connection, close
        self._model = model
        self._cards: dict[str, ModelCard] = {}
        #: Called while a blocking call waits longer than a second; notebooks set it to draw progress.
        self.show_progress: Callable[[Progress], Any] | None = None

    @property
    def limits(self) -> Limits:
        """What the pool allows one user."""
        welcome = self._connection.welcome
        return welcome.limits if welcome else Limits()

    @property
    def user(self) -> str:
        """Who the pool says you are."""
        welcome = self._connection.welcome
        return welcome.user if welcome else ""

    @property
    def model(self) -> str:
        """The model that calls use unless they name another."""
        if self._model is None:
            names = self.models()
            if not names:
                raise PoolUnavailable("the pool serves no model")
            self._model = names[0]
        return self._model

    def models(self) -> list[str]:
        """Names of the models that the pool serves."""
        return [info.name for info in self._connection.state().models]

    def use(self, name: str) -> None:
        """Make `name` the model of calls that name none. Raises RequestError when the pool does not serve it."""
        names = self.models()
        if name not in names:
            raise RequestError(f"the pool does not serve {name!r}{nearest(name, names)}")
        self._model = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.endpoint!r}, model={self._model!r})"

    def card(self, model: str | None = None) -> ModelCard:
        """The card of a model: its sites with shapes, and why others are missing. Waits until a worker has loaded it."""
        name = model or self.model
        deadline = time.monotonic() + _LOAD_SECONDS
        while name not in self._cards:
            info = next((i for i in self._connection.state().models if i.name == name), None)
            if info is None:
                raise RequestError(f"the pool does not serve {name!r}{nearest(name, self.models())}")
            if info.state == "failed":
                raise RemoteError(info.trouble or f"{name} could not be loaded", "model_failed")
            if info.card:
                self._cards[name] = info.card
            elif time.monotonic() > deadline:
                raise PoolUnavailable(f"no worker has loaded {name} within {_LOAD_SECONDS:.0f} s")
            else:
                time.sleep(0.05)
        return self._cards[name]

    def corpora(self) -> dict[str, int]:
        """The corpora that the pool's administrator has laid out, and their bytes."""
        return {info.name: info.nbytes for info in self._connection.state().corpora}

    def corpus(self, name: str) -> PoolCorpus:
        """A corpus of the pool, which every call that takes texts takes. Raises RequestError where there is none."""
        known = self.corpora()
        if name not in known:
            raise RequestError(f"the pool has no corpus {name!r}{nearest(name, known)}")

        def read(file: int, offset: int) -> Piece:
            told, data = self._connection.read(name, file, offset)
            return Piece(told.name, data, told.size, told.files)

        return PoolCorpus(name, read)

    def status(self) -> PoolStatus:
        """Models, worker groups, queue, my jobs and my quota; in a notebook a panel that goes on."""
        welcome = self._connection.welcome
        state = self._connection.state()
        return PoolStatus(state, self._connection, self.user, bool(welcome and welcome.admin))

    def manage(self, action: str, target: str = "") -> None:
        """Administrators: "drain", "pause", "resume" the pool, "pause", "resume", "restart", "kick" a worker group, "expel" a
        user. Raises RequestError."""
        self._connection.manage(one_of("action", action, get_args(Action)), target)

    def jobs(self) -> tuple[JobInfo, ...]:
        """The newest of my jobs that the pool still knows, and of those that others share with me; `job` finds older ones."""
        return self._connection.state().jobs

    def job(self, job_id: str) -> Job[Any]:
        """A job submitted before, however old, also by another kernel of mine or by somebody who shares it. A list of one result
        comes as that result."""
        jobs = {info.job: info for info in self._connection.state(job_id=job_id).jobs}
        if job_id not in jobs:
            raise RequestError(f"you have no job {job_id!r}{nearest(job_id, jobs)}")
        return self._connection.follow(
            job_id, jobs[job_id].method, lambda parts: unpack(parts, False), jobs[job_id].state
        )

    def close(self) -> None:
        """End the connection; an embedded pool ends with it."""
        self._connection.close()
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def unpack(parts: list[Any], many: bool) -> Any:
    """A result from its parts; a list of one as what is in it, unless `many`."""
    made = results.join([results.decode(data) for data in parts])
    return made[0] if not many and isinstance(made, list) and len(made) == 1 else made
