"""`%jobs`: what I have asked of the pool, and one of it again."""

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from ..errors import nearest
from .session import Session, user_faults

if TYPE_CHECKING:
    import pandas as pd


def run(session: Session, line: str) -> Any:
    """`%jobs`, or `%jobs ID`."""
    words = line.split()
    if len(words) > 1:
        raise UsageError("%jobs: one job at most; its id may be cut short")
    with user_faults():
        return _one(session, words[0]) if words else _all(session)


def _all(session: Session) -> "pd.DataFrame":
    import pandas as pd

    jobs = session.pool.jobs()
    others, shared = any(job.user != session.pool.user for job in jobs), any(job.shared for job in jobs)
    routed = any(job.why for job in jobs)
    rows = [
        {
            "job": job.job,
            "method": job.method,
            "model": job.model,
            "state": job.state,
            "seconds": round(job.seconds, 2),
            **({"user": job.user} if others else {}),
            **({"shared": ", ".join(job.shared)} if shared else {}),
            **({"why": job.why} if routed else {}),
        }
        for job in reversed(jobs)
    ]
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["job"]).set_index("job")


def _one(session: Session, start: str) -> Any:
    ids = [job.job for job in session.pool.jobs()]
    found = [job for job in ids if job.startswith(start)]
    if len(found) != 1:
        what = f"{len(found)} jobs begin with {start!r}" if found else f"there is no job {start!r}{nearest(start, ids)}"
        raise UsageError(f"%jobs: {what}")
    return session.pool.job(found[0])
