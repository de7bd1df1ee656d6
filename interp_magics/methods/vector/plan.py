"""A request for a steering vector as programs, and what it costs."""

from collections.abc import Sequence

from ...errors import RequestError
from ...program.cards import ModelCard
from ...program.language import All, At, Last, Moments, Positions, Program, Row, Span, Stage, Tap
from ...program.sites import STREAM_SITES
from ...program.supports import check
from ..cost import Cost, layers_of, pass_flops
from .request import VectorRequest

#: With fewer texts on a side nothing can be said of the vector.
LEAST = 2


def validate(request: VectorRequest, card: ModelCard) -> None:
    """Raise RequestError for whatever the card and the counts can tell is wrong."""
    positive, negative = request.positive, len(request.texts) - request.positive
    for side, count in (("positive", positive), ("negative", negative)):
        if count < LEAST:
            raise RequestError(
                f"{count or 'no'} {side} text{'s' * (count != 1)}: a vector needs at least {LEAST} on each side, to tell "
                "what they share from what is each one's own"
            )
    if request.paired and positive != negative:
        raise RequestError(f"{positive} positive and {negative} negative texts are not pairs; give paired=False")
    if not request.paired and (request.method == "pca" or request.position == "label"):
        what = (
            "method 'pca' takes the differences" if request.method == "pca" else "position 'label' is where the members"
        )
        raise RequestError(f"{what} of pairs{'' if request.method == 'pca' else ' differ'}; these texts are not paired")
    check(Program((Row(request.texts[0]),), (Stage((tap(request, Last()),)),)), card)
    if request.site not in {*STREAM_SITES, "head_out"}:
        known = ", ".join(sorted({*STREAM_SITES, "head_out"} & set(card.sites)))
        raise RequestError(f"a vector is fitted where one can be written: {known}")
    if (request.site == "head_out") != (request.head is not None):
        raise RequestError("at 'head_out' a vector is that of one head (head=3), and at no other site")


def tap(request: VectorRequest, positions: Positions) -> Tap:
    """The means over `positions` at all layers that are asked for."""
    return Tap(request.site, request.layers, positions, index=heads(request.head), reduce=Moments())


def heads(head: int | None) -> tuple[int, ...] | None:
    """A head as the index of a tap or an edit."""
    return None if head is None else (head,)


def program(request: VectorRequest, number: int, label: int | None) -> Program:
    """The program of one text; `label` is where its pair differs."""
    return Program((Row(request.texts[number]),), (Stage((tap(request, _positions(request, label)),)),))


def _positions(request: VectorRequest, label: int | None) -> Positions:
    if isinstance(request.position, At | Span):
        return request.position
    if request.position == "label":
        assert label is not None
        return At((label,))
    return Last() if request.position == "last" else All()


def cost(request: VectorRequest, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """The passes, and the means at every layer until all are there."""
    layers = len(layers_of(card, request.site, request.layers))
    each = 4 * layers * card.d_model
    item = 4 if card.dtype == "float32" else 2
    flops = sum(pass_flops(card, count, None) for count in tokens)
    return Cost(
        flops, 3 * each, 2 * each * len(tokens) + item * layers * card.d_model * max(tokens, default=0), sum(tokens)
    )
