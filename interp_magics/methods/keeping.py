"""What a call with `keep` holds back on the worker, so that a follow-up need not run its rows again."""

import math
from collections.abc import Sequence

from ..errors import RequestError
from ..program.cards import ModelCard
from ..program.handles import Handle
from ..program.language import Positions, Tap, Text
from .cost import layers_of, positions_count


def keep_taps(
    sites: Sequence[str], layers: tuple[int, ...] | None, positions: Positions, card: ModelCard
) -> tuple[Tap, ...]:
    """Taps that keep the values of `sites`, and what the head read: KL to the final layer and logits are made of it."""
    kept = dict.fromkeys([*(site for site in sites if site != "logits"), "ln_final"])
    return tuple(Tap(site, layers_of(card, site, layers), positions, reduce=None, keep=site) for site in kept)


def kept_bytes(taps: Sequence[Tap], prompt: int, read: int, card: ModelCard) -> int:
    """What these taps leave on the worker for one row of `read` tokens."""
    item = 4 if card.dtype == "float32" else 2
    total = 0
    for tap in taps:
        width = math.prod(card.sites[tap.site].shape) * (read if tap.site == "attn_pattern" else 1)
        total += (
            item * width * len(layers_of(card, tap.site, tap.layers)) * positions_count(tap.positions, prompt, read)
        )
    return total


def check_kept(kept: Handle | None, texts: Sequence[Text]) -> None:
    """Raise RequestError unless a follow-up repeats one row."""
    if kept is not None and len(texts) != 1:
        raise RequestError(f"a follow-up of a kept row has one text, not {len(texts)}")
