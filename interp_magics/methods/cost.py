"""What a request costs, as far as can be said before it runs. Pure arithmetic over token counts and a model card."""

from collections.abc import Sequence

from msgspec import Struct

from ..program.cards import ModelCard
from ..program.language import All, At, First, Generated, Last, Positions, Prompt, Sampling


class Cost(Struct, frozen=True):
    """Floating-point operations, bytes of the result, bytes of activations held on the worker while it runs, tokens read,
    bytes kept there afterwards."""

    flops: float
    result_bytes: int
    held_bytes: int
    tokens: int
    kept_bytes: int = 0

    def seconds(self, card: ModelCard) -> float:
        """At the rate that the model reached in its self-test."""
        return self.flops / card.flops_per_second


def read_tokens(prompt: int, sampling: Sampling | None) -> int:
    """T = P + N - 1."""
    return prompt if sampling is None else prompt + sampling.max_new_tokens - 1


def pass_flops(card: ModelCard, tokens: int, sampling: Sampling | None) -> float:
    """Two operations per parameter and token, attention over the tokens before, and the head for each sampled token."""
    trunk = 2.0 * (card.parameters - card.vocabulary * card.d_model) * tokens
    attention = 2.0 * card.layers * tokens * tokens * card.heads * card.d_head
    sampled = 0 if sampling is None else sampling.max_new_tokens
    return max(trunk, 0.0) + attention + 2.0 * card.vocabulary * card.d_model * sampled


def pieces_flops(card: ModelCard, counts: Sequence[int], context: int) -> float:
    """The passes over texts of `counts` tokens that are cut into pieces of `context`."""
    return sum(pass_flops(card, min(count, context), None) * max(1.0, count / context) for count in counts)


def passes_flops(card: ModelCard, counts: Sequence[int], added: Sequence[int]) -> float:
    """The sum of `pass_flops` over texts of `counts` tokens, each with every one of `added` more; a pass is a polynomial of
    the second degree in its tokens."""
    square = pass_flops(card, 2, None) / 2 - pass_flops(card, 1, None)
    linear = pass_flops(card, 1, None) - square
    (n, total, squares), (m, more, more_squares) = ((len(v), sum(v), sum(x * x for x in v)) for v in (counts, added))
    return linear * (m * total + n * more) + square * (m * squares + 2 * total * more + n * more_squares)


def positions_count(positions: Positions, prompt: int, tokens: int) -> int:
    """How many positions a choice has at most."""
    if isinstance(positions, All):
        return tokens
    if isinstance(positions, First | Last):
        return 1
    if isinstance(positions, At):
        return len(positions.positions)
    if isinstance(positions, Generated):
        return tokens - prompt
    return prompt if isinstance(positions, Prompt) else tokens


def site_layers(card: ModelCard, sites: Sequence[str], layers: tuple[int, ...] | None) -> int:
    """How many values of a position are read: over sites, the layers of each."""
    return sum(len(layers_of(card, site, layers)) for site in sites)


def layers_of(card: ModelCard, site: str, layers: tuple[int, ...] | None) -> tuple[int, ...]:
    """The layers to read of a site; a site that exists once has layer 0, whatever layers were asked for."""
    count = card.sites[site].layers
    return tuple(range(count)) if layers is None or count == 1 else layers
