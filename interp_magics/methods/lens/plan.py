"""A lens request as programs, and what it costs."""

from collections.abc import Sequence

from ...errors import RequestError
from ...program.cards import ModelCard
from ...program.language import Lens, Program, Tap
from ...program.supports import check, check_lens, check_site
from ..cost import Cost, layers_of, pass_flops, positions_count, read_tokens, site_layers
from ..keeping import check_kept, keep_taps, kept_bytes
from ..rows import programs as row_programs
from .request import LensRequest


def programs(request: LensRequest, card: ModelCard, track: tuple[int, ...]) -> tuple[Program, ...]:
    """One tap per site, then those that keep; `track` are the tracked tokens as ids."""
    lens = Lens(request.kind, request.top_k, track, request.entropy, request.kl_final, request.stream)
    taps = [Tap(site, layers_of(card, site, request.layers), request.positions, reduce=lens) for site in request.sites]
    if request.keep:
        taps += keep_taps(request.sites, request.layers, request.positions, card)
    return row_programs(request.texts, taps, request.steer, request.sampling, request.first)


def validate(request: LensRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card can tell is wrong."""
    if not request.sites:
        raise RequestError("a lens needs at least one site")
    if len(set(request.sites)) < len(request.sites):
        raise RequestError("a site is named twice")
    for site in request.sites:
        check_site(site, card)
        check_lens(site, Lens(request.kind, request.top_k), card)
    check_kept(request.kept, request.texts)
    counts = {card.sites[site].layers for site in request.sites}
    if len(counts) > 1:
        raise RequestError(
            f"{', '.join(request.sites)} have different numbers of layers; decode `embed` in a lens of its own"
        )
    tracked = tuple(t for t in request.track if isinstance(t, int))
    for program in programs(request, card, tracked) or (Program(()),):
        check(program, card)


def cost(request: LensRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """The passes, and one product with the head for every decoded row of the stream."""
    flops, held, result, total, kept = 0.0, 0, 0, 0, 0
    keeping = keep_taps(request.sites, request.layers, request.positions, card) if request.keep else ()
    streams = site_layers(card, request.sites, request.layers)
    per_row = 8 * request.top_k + 4 * (request.entropy + request.kl_final) + 8 * len(request.track)
    for prompt in tokens:
        read = read_tokens(prompt, request.sampling)
        rows = streams * positions_count(request.positions, prompt, read)
        flops += pass_flops(card, read, request.sampling) + 2.0 * rows * card.d_model * card.vocabulary
        held += 4 * rows * card.d_model
        result += rows * per_row + 4 * read
        total += read
        kept += kept_bytes(keeping, prompt, read, card)
    return Cost(flops, result, held, total, kept)
