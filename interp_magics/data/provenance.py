"""What made a result."""

from typing import Any

from msgspec import Struct


class Provenance(Struct, frozen=True, forbid_unknown_fields=True):
    """Model, checkpoint, tokenizer, dtype, the request as sent (its seed in it), and the versions that ran it.

    `kept` says that a worker answered from rows that it held, without a pass.
    """

    model: str
    revision: str
    digest: str
    tokenizer: str
    dtype: str
    engine: str
    request: dict[str, Any]
    versions: dict[str, str]
    kept: bool = False
