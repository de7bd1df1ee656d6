"""A request to evaluate a dictionary as programs, and what it costs."""

from collections.abc import Sequence

from ...errors import RequestError
from ...program.cards import ModelCard
from ...program.language import At, Edit, Ids, Positions, Program, Raw, Row, Stage, Surprisal, Tap, Text
from ...program.operations import Op, Splice, Zero
from ...program.supports import check, check_context, check_ids
from ..cost import Cost, pieces_flops
from .request import EvaluateRequest

#: Rows of a program: the model itself, the reconstruction, 0, the dictionary's bias.
ROWS = 4


def programs_of(request: EvaluateRequest, text: Text, positions: Sequence[int]) -> Program:
    """One text in all ways, its values replaced at `positions`."""
    where: Positions = At(tuple(positions))
    edits = tuple(
        Edit(request.site_out or request.site, request.layer, op, where, (row,))
        for row, op in enumerate(_ops(request), 1)
    )
    taps = [Tap("ln_final", reduce=Surprisal(against=0))]
    sites = [request.site] if request.site_out is None else [request.site, request.site_out]
    taps += [Tap(site, (request.layer,), where, (0,), reduce=Raw("float32")) for site in sites]
    return Program((Row(text),) * ROWS, (Stage(tuple(taps), edits),))


def _ops(request: EvaluateRequest) -> tuple[Op, ...]:
    reads = None if request.site_out is None else request.site
    spliced = Splice(request.dictionary, reads=reads)
    return spliced, Zero(), Splice(request.dictionary, only=(), reads=reads)


def validate(request: EvaluateRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card can tell is wrong."""
    if not request.texts:
        raise RequestError("a dictionary is evaluated on texts, one at least")
    check_context(request.context)
    check(programs_of(request, Ids((0,)), (0,)), card)
    check_ids(request.texts, card)


def cost(request: EvaluateRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """Four rows a text, the products with the head, and the dictionary's own twice."""
    head = 2.0 * card.vocabulary * card.d_model
    form = request.dictionary
    own = 2.0 * form.latents * (form.width + form.out)
    context = min(request.context or card.context, card.context)
    passes = pieces_flops(card, tokens, context)
    total = sum(tokens)
    flops = ROWS * (passes + 2 * head * total) + 3 * own * total
    longest = min(context, max(tokens, default=0))
    held = 4 * longest * (ROWS * card.d_model + 3 * form.latents) + 4 * total * (form.width + form.out)
    return Cost(flops, 8 * (form.out + form.latents) + 1024, held, ROWS * total)
