"""When a completion ends."""

from collections.abc import Collection
from typing import Any

from ..tokens import Tokens
from .batch import BatchRow


def stop_ids(stated: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a completion: those that the checkpoint's generation config states, else the tokenizer's."""
    stated = tokenizer.eos_token_id if stated is None else stated
    ids = stated if isinstance(stated, list) else [stated]
    return frozenset(int(i) for i in ids if i is not None)


def finish(row: BatchRow, tokens: Tokens, ends: Collection[int]) -> str:
    """Why a row ends after its newest token, or "" when it goes on."""
    sampling = row.sampling
    assert sampling is not None
    if sampling.forced is not None:
        return "length" if len(row.completion) >= len(sampling.forced) else ""
    if row.completion[-1] in ends:
        return "stop"
    if sampling.stop:
        text = tokens.decode(row.completion)
        if any(s in text for s in sampling.stop):
            return "stop"
    return "length" if len(row.completion) >= sampling.max_new_tokens else ""
