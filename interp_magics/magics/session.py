"""What the magics of one shell share: its pool, its variables, how it waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from ..errors import RequestError, nearest
from .progress import Progress

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
        """Connect anew; the pool that was there before is closed."""
        from .. import display  # noqa: F401  (registers how results look)
        from ..connecting import connect

        self.close()
        self._pool = connect(url, model=model or self.config.model or None)
        self.model_names = tuple(self._pool.models())

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool = None

    @property
    def names(self) -> dict[str, Any]:
        """The user's variables."""
        names: dict[str, Any] = self.shell.user_ns
        return names

    def vectors(self, given: list[str], scale: float | None) -> list[Any]:
        """Steering vectors by their variables' names."""
        from ..data.vectors import SteeringVector

        known = [name for name, value in self.names.items() if isinstance(value, SteeringVector)]
        for name in given:
            if name not in known:
                raise UsageError(f"there is no steering vector {name!r}{nearest(name, known)}")
        factor = 1.0 if scale is None else scale
        return [self.names[name] * factor for name in given]

    def wait(self, job: Any, timeout: float | None) -> Any:
        """The job's result, with progress after `progress_after` seconds."""
        from ..client.waiting import wait

        with Progress() as progress:
            return wait(job, timeout, progress.show, self.config.progress_after)

    def bind(self, name: str | None, value: Any) -> None:
        if name:
            self.shell.push({name: value})


@contextmanager
def user_faults() -> Iterator[None]:
    """What is wrong with a request is the user's fault: one line, no traceback."""
    try:
        yield
    except RequestError as error:
        raise UsageError(str(error)) from None
