"""What the magics of one shell share: its pool, its variables, how it waits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from ..errors import RequestError, nearest
from ..progress import Progress
from .arguments import variable

if TYPE_CHECKING:
    from ..api import Pool


class Session:
    """The pool of a shell, connected on first use."""

    def __init__(self, shell: Any, config: Any) -> None:
        self.shell, self.config = shell, config
        self._pool: Pool | None = None
        self.model_names: tuple[str, ...] = ()

    @property
    def pool(self) -> "Pool":
        if self._pool is None:
            self.connect(self.config.url or None)
        assert self._pool is not None
        return self._pool

    @property
    def connected(self) -> bool:
        return self._pool is not None

    def connect(self, url: str | None, model: str | None = None) -> None:
        """Connect to another pool; the one that was there before is closed once the new one answers."""
        from ..connecting import connect

        import_module("interp_magics.display")  # which registers how results look

        made = connect(url, model=model or self.config.model or None)
        self.close()
        self._pool = made
        self.model_names = tuple(made.models())

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool = None

    @property
    def names(self) -> dict[str, Any]:
        """The user's variables."""
        names: dict[str, Any] = self.shell.user_ns
        return names

    def vectors(self, given: list[str], scales: list[float]) -> list[Any]:
        """Steering vectors by their variables' names; one scale for all of them, or one for each."""
        from ..data.vectors import SteeringVector

        known = [name for name, value in self.names.items() if isinstance(value, SteeringVector)]
        for name in given:
            if name in self.names and name not in known:
                raise UsageError(f"{name!r} is no steering vector but a {type(self.names[name]).__name__}")
            if name not in known:
                plain = "" if name.isidentifier() else "; -v takes the plain name of a variable"
                raise UsageError(f"there is no steering vector {name!r}{nearest(name, known)}{plain}")
        return [self.names[name] * factor for name, factor in zip(given, per_vector(given, scales), strict=True)]

    def wait(self, job: Any, timeout: float | None) -> Any:
        """The job's result, with progress after `progress_after` seconds."""
        from ..client.waiting import wait

        try:
            with Progress() as progress:
                return wait(job, timeout, progress.show, self.config.progress_after)
        except KeyboardInterrupt:
            # Without the frames of the wait, which tell a user nothing.
            raise KeyboardInterrupt from None

    def outcome(self, job: Any, given: Any, bound: str | None) -> Any:
        """What a cell returns of a job: with -a the job, else its result, bound if it has a name; nothing with -q."""
        result = job if given.no_wait else self.wait(job, given.timeout)
        self.bind(bound, result)
        return None if given.quiet else result

    def later(self, given: Any, job: Any) -> Any:
        """What a cell returns of a job that it asked for: as `shown` does, with -a the job itself."""
        return self.shown(given, job if given.no_wait else self.wait(job, None))

    def watched(self, call: Callable[["Pool"], Any]) -> Any:
        """What a call of several steps returns, with progress meanwhile."""
        pool = self.pool
        try:
            with Progress() as progress:
                pool.show_progress = progress.show
                return call(pool)
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None
        finally:
            pool.show_progress = None

    def bound(self, given: Any, value: Any) -> Any:
        """The value, bound to the name that -o gives."""
        self.bind(variable(given.out) if given.out else None, value)
        return value

    def shown(self, given: Any, value: Any) -> Any:
        """What a cell returns: the value, bound if it has a name; nothing with -q."""
        self.bound(given, value)
        return None if given.quiet else value

    def bind(self, name: str | None, value: Any) -> None:
        if name:
            self.shell.push({name: value})


def per_vector(given: list[str], scales: list[float]) -> list[float]:
    """A scale for each vector."""
    if len(scales) not in (0, 1, len(given)):
        raise UsageError(f"{len(scales)} scales for {len(given)} vectors; give one for all, or one for each")
    return scales if len(scales) == len(given) else (scales or [1.0]) * len(given)


@contextmanager
def user_faults() -> Iterator[None]:
    """What is wrong with a request is the user's fault: one line, no traceback."""
    try:
        yield
    except RequestError as error:
        raise UsageError(str(error)) from None
