"""`%pool`: what the pool is doing, and which one it is."""

from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError

from ..errors import nearest
from .session import Session, user_faults


def run(session: Session, line: str) -> Any:
    """`%pool`, or `%pool COMMAND [ARGUMENT]`."""
    words = line.split()
    if not words:
        return session.pool.status()
    name, arguments = words[0], words[1:]
    if name not in COMMANDS:
        raise UsageError(f"%pool: unknown command {name!r}{nearest(name, COMMANDS)}")
    with user_faults():
        return COMMANDS[name](session, *_one(name, arguments))


def _one(name: str, arguments: list[str]) -> list[str]:
    most = 0 if name in _ALONE else 1
    if len(arguments) > most:
        raise UsageError(f"%pool {name}: {'no argument' if not most else 'one argument at most'}, not {len(arguments)}")
    return arguments


def _connect(session: Session, url: str = "") -> Any:
    session.connect(url or None)
    return session.pool.status()


def _model(session: Session, model: str = "") -> Any:
    if not model:
        raise UsageError("%pool model: name a model directory or hub id to start an embedded pool for")
    session.connect(None, model)
    return session.pool.status()


def _use(session: Session, model: str = "") -> None:
    if not model:
        raise UsageError(f"%pool use: name one of {', '.join(session.pool.models())}")
    session.pool.use(model)


def _card(session: Session, model: str = "") -> Any:
    from ..cards import CardView

    return CardView(session.pool.card(model or None))


def _jobs(session: Session) -> Any:
    return list(session.pool.jobs())


def _cancel(session: Session, job: str = "") -> Any:
    if not job:
        raise UsageError("%pool cancel: name a job; %pool lists them")
    return session.pool.job(job).cancel(2.0)


def _close(session: Session) -> None:
    session.close()


_ALONE = ("jobs", "close")
COMMANDS: dict[str, Callable[..., Any]] = {
    "connect": _connect,
    "model": _model,
    "use": _use,
    "card": _card,
    "jobs": _jobs,
    "cancel": _cancel,
    "close": _close,
}
