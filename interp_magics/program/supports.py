"""Whether a model, as its card describes it, can run a program: pure, and decided before anything is queued."""

import math
from collections.abc import Sequence

from ..errors import RequestError, nearest
from .cards import ModelCard
from .copies import check_order
from .language import (
    At,
    Divergence,
    Dot,
    Edit,
    Generated,
    Gradient,
    Ids,
    Latents,
    Lens,
    Moments,
    Program,
    Project,
    Raw,
    Row,
    Stage,
    Surprisal,
    Tap,
    Text,
)
from .operations import AblateSubspace, ClampLatent, Copy, Op, Ref, Splice, Vector, When
from .sites import SITES, STREAM_SITES


def check(program: Program, card: ModelCard) -> None:
    """Raise RequestError with what is wrong and the nearest valid names; return None when `card` can run `program`."""
    if not program.rows:
        raise RequestError("there is no text to run; give at least one")
    if not program.stages:
        raise RequestError("a program needs at least one stage")
    for row in program.rows:
        _check_row(row, card)
    kept: set[str] = set()
    generates = any(row.sampling for row in program.rows)
    for stage in program.stages:
        if stage.gradients and generates and stage is program.stages[-1]:
            raise RequestError("gradients are of prompts; give the tokens as the prompt instead of generating them")
        if not generates and any(isinstance(tap.positions, Generated) for tap in stage.taps):
            raise RequestError("positions 'generated' are read, but nothing is generated; ask for new tokens")
        _check_stage(stage, card, len(program.rows), kept)
        kept |= {tap.keep for tap in stage.taps if tap.keep}


def check_ids(texts: Sequence[Text], card: ModelCard) -> None:
    """Raise RequestError for token ids that the model does not have, however many there are."""
    for text in texts:
        if not isinstance(text, Ids):
            continue
        if not text.ids:
            raise RequestError("the prompt is empty: it has no token ids")
        outside = [i for i in text.ids if not 0 <= i < card.vocabulary]
        if outside:
            raise RequestError(
                f"token id {outside[0]} is outside the vocabulary of {card.name} (0 to {card.vocabulary - 1})"
            )


def check_context(context: int) -> None:
    """Raise RequestError for a length that texts cannot be cut to."""
    if context < 0 or context == 1:
        raise RequestError(f"context must be 2 tokens or more (0: the model's), not {context}")


def _check_row(row: Row, card: ModelCard) -> None:
    check_ids((row.text,), card)
    if isinstance(row.text, Ids) and len(row.text.ids) > card.context:
        raise RequestError(over_context(len(row.text.ids), card))
    if row.sampling and row.sampling.forced is not None:
        outside = [i for i in row.sampling.forced if not 0 <= i < card.vocabulary]
        if outside or not row.sampling.forced:
            raise RequestError(f"forced tokens must be ids between 0 and {card.vocabulary - 1}, one at least")
    if row.sampling and row.sampling.max_new_tokens > card.context:
        raise RequestError(
            f"max_new_tokens {row.sampling.max_new_tokens} is over the context of {card.name}, {card.context}"
        )


def over_context(tokens: int, card: ModelCard) -> str:
    """The message for a row that does not fit the context."""
    return f"the prompt and what is generated need {tokens} tokens, over the context of {card.name}, {card.context}; shorten one of them"


def _check_stage(stage: Stage, card: ModelCard, rows: int, kept: set[str]) -> None:
    if stage.gradients and not card.gradients:
        raise RequestError(
            f"{card.name} on engine {card.engine} has no gradients; ask a group with the transformers engine"
        )
    _check_rows(stage.rows, rows)
    for tap in stage.taps:
        _check_tap(tap, card, rows)
    for gradient in stage.gradients:
        _check_gradient(gradient, card, rows, kept)
    for edit in stage.edits:
        _check_edit(edit, card, rows, kept)
        if isinstance(edit.op, Copy) and stage.rows is not None and edit.op.row not in stage.rows:
            raise RequestError(f"copy: row {edit.op.row} does not run in this stage, so nothing can be copied from it")
    if not card.together:
        _check_order(stage, card, rows)


def _check_order(stage: Stage, card: ModelCard, rows: int) -> None:
    try:
        check_order(stage, rows)
    except RequestError as error:
        raise RequestError(f"{error}, which those of engine {card.engine} do not; ask a group with another") from None


def check_site(site: str, card: ModelCard) -> None:
    """Raise RequestError, with the reason or the nearest names, unless the model has `site`."""
    if site in card.sites:
        return
    if site in card.missing:
        raise RequestError(f"{card.name} has no site {site!r}: {card.missing[site]}")
    raise RequestError(f"unknown site {site!r}{nearest(site, card.sites if site not in SITES else SITES)}")


def check_lens(site: str, lens: Lens, card: ModelCard) -> None:
    """Raise RequestError unless `card` can decode `site` with `lens`."""
    if site not in STREAM_SITES:
        wide = ", ".join(sorted(STREAM_SITES & set(card.sites)))
        raise RequestError(f"a lens decodes sites as wide as the stream, which {site!r} is not; there is {wide}")
    if lens.kind not in card.lens_kinds:
        raise RequestError(f"unknown lens kind {lens.kind!r}{nearest(lens.kind, card.lens_kinds)}")
    if not 1 <= lens.top_k <= card.vocabulary:
        raise RequestError(
            f"top_k must be between 1 and the vocabulary of {card.name}, {card.vocabulary}, not {lens.top_k}"
        )
    for token in lens.track:
        if not 0 <= token < card.vocabulary:
            raise RequestError(f"tracked token {token} is outside the vocabulary (0 to {card.vocabulary - 1})")


def _check_layers(site: str, layers: tuple[int, ...] | None, card: ModelCard) -> None:
    if layers == ():
        raise RequestError(f"no layer of {site!r} was chosen; leave `layers` out for all")
    count = card.sites[site].layers
    for layer in layers or ():
        if not 0 <= layer < count:
            what = f"{site!r} exists once, as layer 0" if count == 1 else f"{card.name} has layers 0 to {count - 1}"
            raise RequestError(f"layer {layer} of {site!r} does not exist: {what}")


def _check_rows(chosen: tuple[int, ...] | None, rows: int) -> None:
    if chosen == ():
        raise RequestError("no row was chosen; leave `rows` out for all")
    for row in chosen or ():
        if not 0 <= row < rows:
            raise RequestError(f"row {row} does not exist: the program has rows 0 to {rows - 1}")


def _check_index(item: Tap | Edit, card: ModelCard) -> None:
    if item.index is None:
        return
    if not item.index:
        raise RequestError(f"the index into {item.site!r} is empty; leave it out for all")
    size = card.sites[item.site].shape[0]
    for i in item.index:
        if not 0 <= i < size:
            raise RequestError(f"index {i} of {item.site!r} does not exist: it has {size} (0 to {size - 1})")


def _check_tap(tap: Tap, card: ModelCard, rows: int) -> None:
    check_site(tap.site, card)
    _check_layers(tap.site, tap.layers, card)
    _check_rows(tap.rows, rows)
    _check_index(tap, card)
    _check_reduction(tap, card)
    if isinstance(tap.reduce, Surprisal) and tap.reduce.against is not None:
        _check_rows((tap.reduce.against,), rows)
        if tap.rows is not None and tap.reduce.against not in tap.rows:
            raise RequestError(
                f"surprisal against row {tap.reduce.against}, which the tap does not read; add it to its rows"
            )


def _check_gradient(gradient: Gradient, card: ModelCard, rows: int, kept: set[str]) -> None:
    if not gradient.taps:
        raise RequestError("a gradient needs at least one tap: the values to differentiate by")
    for tap in gradient.taps:
        _check_tap(tap, card, rows)
        if tap.keep or not isinstance(tap.reduce, Raw | Moments | Project):
            raise RequestError("a gradient's tap reads raw values, moments or projections, and keeps nothing")
        if tap.site in _NO_GRADIENT:
            raise RequestError(f"there is no gradient by {tap.site!r}; {_NO_GRADIENT[tap.site]}")
    metric = gradient.metric
    for token in (getattr(metric, "target", 0), getattr(metric, "foil", 0)):
        if not 0 <= token < card.vocabulary:
            raise RequestError(
                f"token id {token} is outside the vocabulary of {card.name} (0 to {card.vocabulary - 1})"
            )
    if isinstance(metric, Divergence) and metric.kept not in kept:
        raise RequestError(f"nothing was kept as {metric.kept!r} by an earlier stage{nearest(metric.kept, kept)}")
    if isinstance(metric, Dot):
        check_site(metric.site, card)
        _check_layers(metric.site, (metric.layer,), card)
        if metric.site in _NO_GRADIENT:
            raise RequestError(f"a dot product is not taken at {metric.site!r}; {_NO_GRADIENT[metric.site]}")


_NO_GRADIENT = {
    "logits": "take it by ln_final, which the head makes them of",
    "attn_pattern": "take it by q, k or v",
}


def _check_reduction(tap: Tap, card: ModelCard) -> None:
    if tap.reduce is None:
        if tap.keep is None:
            raise RequestError(
                f"the tap at {tap.site!r} neither reduces nor keeps anything; give it a reduction or a name"
            )
        return
    kind = tap.reduce.__struct_config__.tag
    if kind not in card.reductions:
        raise RequestError(f"engine {card.engine} has no reduction {kind!r}{nearest(kind, card.reductions)}")
    if tap.index is not None and isinstance(tap.reduce, Lens):
        raise RequestError("a lens decodes the whole stream; remove `index` from its tap")
    if isinstance(tap.reduce, Lens):
        check_lens(tap.site, tap.reduce, card)
    if isinstance(tap.reduce, Latents):
        _check_latents(tap, tap.reduce, card)
    if isinstance(tap.reduce, Surprisal) and (tap.site != "ln_final" or tap.index is not None):
        raise RequestError(
            "surprisal is read at 'ln_final', of which the model's predictions are made, without an index"
        )


def _check_latents(tap: Tap, reduce: Latents, card: ModelCard) -> None:
    width = math.prod(card.sites[tap.site].shape)
    if tap.index is not None or tap.site in ("logits", "attn_pattern") or reduce.dictionary.width != width:
        raise RequestError(
            f"the dictionary reads a whole width of {reduce.dictionary.width}, but {tap.site!r} of {card.name} has {width}"
        )
    for latent in reduce.latents or ():
        if not 0 <= latent < reduce.dictionary.latents:
            raise RequestError(f"there is no latent {latent}: the dictionary has 0 to {reduce.dictionary.latents - 1}")


def _check_edit(edit: Edit, card: ModelCard, rows: int, kept: set[str]) -> None:
    check_site(edit.site, card)
    if not card.sites[edit.site].writable:
        raise RequestError(f"{edit.site!r} of {card.name} can be read but not written")
    _check_layers(edit.site, (edit.layer,), card)
    _check_rows(edit.rows, rows)
    _check_index(edit, card)
    kind = edit.op.__struct_config__.tag
    if kind not in card.ops:
        raise RequestError(f"engine {card.engine} has no operation {kind!r}{nearest(kind, card.ops)}")
    if edit.when is not None:
        _check_condition(edit, edit.when, card)
    if isinstance(edit.op, Copy):
        _check_copy(edit, edit.op, rows)
    if isinstance(edit.op, Splice):
        _check_splice(edit, edit.op, card)
    for vector in vectors(edit.op):
        if isinstance(vector, Ref) and vector.name not in kept:
            raise RequestError(f"nothing was kept as {vector.name!r} by an earlier stage{nearest(vector.name, kept)}")


def _check_condition(edit: Edit, when: When, card: ModelCard) -> None:
    if not card.conditions:
        raise RequestError(f"engine {card.engine} has no conditional edits yet; remove `when`")
    check_site(when.site, card)
    _check_layers(when.site, (when.layer,), card)
    if when.site not in STREAM_SITES:
        raise RequestError(f"a condition looks at a site as wide as the stream, which {when.site!r} is not")
    if isinstance(edit.op, Copy):
        raise RequestError("a copy has no condition; remove `when`")
    if _reached(when.site, when.layer, card) >= _reached(edit.site, edit.layer, card):
        raise RequestError(
            f"the condition looks at {when.site!r} of layer {when.layer}, which is not computed before {edit.site!r} of layer "
            f"{edit.layer} is edited; look at an earlier site"
        )


def _check_splice(edit: Edit, op: Splice, card: ModelCard) -> None:
    if edit.index is not None:
        raise RequestError("a splice replaces the whole value of a site; remove `index`")
    for latent in (*(hold.latent for hold in op.hold), *(op.only or ())):
        if not 0 <= latent < op.dictionary.latents:
            raise RequestError(f"there is no latent {latent}: the dictionary has 0 to {op.dictionary.latents - 1}")
    read = edit.site if op.reads is None else op.reads
    check_site(read, card)
    _check_layers(read, (edit.layer,), card)
    if op.reads is not None and _reached(read, edit.layer, card) >= _reached(edit.site, edit.layer, card):
        raise RequestError(f"a transcoder reads before it writes: {read!r} is not computed before {edit.site!r}")
    for site, width in ((read, op.dictionary.width), (edit.site, op.dictionary.out)):
        if math.prod(card.sites[site].shape) != width:
            raise RequestError(
                f"the dictionary has width {width}, but {site!r} of {card.name} has {math.prod(card.sites[site].shape)}"
            )


def _reached(site: str, layer: int, card: ModelCard) -> tuple[int, int]:
    """When a pass reaches a site of a layer."""
    if site == "embed":
        return 0, SITES.index("resid_pre")
    return (card.layers, SITES.index(site)) if site in ("ln_final", "logits") else (layer, SITES.index(site))


def _check_copy(edit: Edit, op: Copy, rows: int) -> None:
    _check_rows((op.row,), rows)
    for target, source in op.positions or ():
        if target < 0 or source < 0:
            raise RequestError("a copy's position map counts from 0; negative positions are not allowed in it")
    if op.positions is not None and isinstance(edit.positions, At):
        mapped = {target for target, _ in op.positions}
        outside = [p for p in edit.positions.positions if p not in mapped]
        if outside:
            raise RequestError(f"position {outside[0]} is edited by a copy whose position map does not name it")


def vectors(op: Op) -> tuple[Vector, ...]:
    """The vectors that an operation uses."""
    if isinstance(op, AblateSubspace | ClampLatent):
        return op.vectors
    vector = getattr(op, "vector", None)
    return () if vector is None else (vector,)
