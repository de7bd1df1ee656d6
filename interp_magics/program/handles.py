"""Handles: rows of an earlier job that a worker still holds, so that a follow-up need not run them again."""

from typing import Annotated

from msgspec import Meta, Struct

KEEP_SECONDS = 24 * 3600

#: Seconds that rows are to be held after their job has ended.
Keep = Annotated[int, Meta(ge=0, le=KEEP_SECONDS)]
Token = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]


class Handle(Struct, frozen=True, forbid_unknown_fields=True):
    """Row `row` of those held under `token` by the worker process `epoch`, until `expires` (seconds since 1970).

    A handle serves its owner alone, and it is a hint: a request that names one also says how to compute its row anew.
    """

    token: Token
    epoch: str
    expires: float
    row: int = 0
