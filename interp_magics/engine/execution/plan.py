"""A stage of a program bound to rows of a batch: its edits and taps with positions resolved and vectors fetched.

All that can be wrong once the tokenizer has spoken is found here, before a pass is paid for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...errors import RequestError
from ...program.cards import ModelCard
from ...program.language import At, Dot, Edit, Gradient, Latents, Lens, Positions, Program, Project, Row, Stage, Tap
from ...program.operations import AblateSubspace, Add, ClampLatent, Copy, Ref, Splice, Vector, When
from ...program.positions import Selection, resolve
from ...program.supports import over_context, vectors
from ..dictionaries.loaded import Loaded
from ..protocol import Objects
from ..tokens import Encoded, Tokens
from .batch import Address, BatchRow, Span
from .conditions import BoundWhen
from .edits import bind
from .readers import WHOLE
from .splices import BoundSource, bind_splice
from .tape import Tape
from .writing import BoundEdit

Fetch = Callable[[Vector], Tensor]


@dataclass(frozen=True)
class BoundTap:
    """A tap with its rows as places in the program, its layers made explicit, its vectors as a matrix, its dictionary loaded."""

    tap: Tap
    rows: tuple[int, ...]
    layers: tuple[int, ...]
    selections: dict[int, Selection]
    matrix: Tensor | None
    dictionary: Loaded | None = None


@dataclass(frozen=True)
class BoundGradient:
    """A gradient ready to be taken: its taps, and for a dot product the vector and where in each row it is taken."""

    gradient: Gradient
    taps: tuple[BoundTap, ...]
    vector: Tensor | None = None
    selections: dict[int, Selection] = field(default_factory=dict)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The nodes that it needs."""
        taps = [canonical(tap.tap.site, layer) for tap in self.taps for layer in tap.layers]
        metric = self.gradient.metric
        return (*taps, canonical(metric.site, metric.layer)) if isinstance(metric, Dot) else tuple(taps)


@dataclass(frozen=True)
class BoundStage:
    """A stage ready to run: program row numbers that take part, edits by address, taps, gradients."""

    rows: tuple[int, ...]
    edits: tuple[tuple[Address, BoundEdit], ...]
    taps: tuple[BoundTap, ...]
    gradients: tuple[BoundGradient, ...] = ()


def encode_rows(program: Program, tokens: Tokens, card: ModelCard) -> list[Encoded]:
    """Token ids of all rows; refuses what does not fit the context."""
    encoded = [tokens.encode(row.text) for row in program.rows]
    for row, ids in zip(program.rows, encoded, strict=True):
        total = len(ids.ids) + generated(row)
        if total > card.context:
            raise RequestError(over_context(total, card))
    return encoded


def generated(row: Row) -> int:
    """The most tokens that a row feeds beyond its prompt."""
    if row.sampling is None:
        return 0
    forced = row.sampling.forced
    return max(0, (row.sampling.max_new_tokens if forced is None else len(forced)) - 1)


def canonical(site: str, layer: int) -> Address:
    """`embed` is the stream that enters layer 0; `logits` are made from `ln_final`."""
    if site == "embed":
        return "resid_pre", 0
    return ("ln_final", 0) if site == "logits" else (site, layer)


def bind_stage(stage: Stage, encoded: Sequence[Encoded], card: ModelCard, fetch: Fetch) -> BoundStage:
    """Resolve positions and vectors of a stage. Raises RequestError naming the row where one of them does not fit."""
    rows = tuple(range(len(encoded))) if stage.rows is None else stage.rows
    cache: dict[tuple[Positions, int], Selection] = {}

    def select(positions: Positions, row: int) -> Selection:
        if (positions, row) not in cache:
            text = encoded[row]
            cache[positions, row] = resolve(positions, text.ids, text.offsets, text.text)
        return cache[positions, row]

    groups: dict[tuple[Positions, tuple[int, ...]], dict[int, Selection]] = {}

    def choose(positions: Positions, wanted: tuple[int, ...] | None) -> dict[int, Selection]:
        taking = tuple(r for r in rows if wanted is None or r in wanted)
        if (positions, taking) not in groups:
            groups[positions, taking] = {row: select(positions, row) for row in taking}
        return groups[positions, taking]

    edits = tuple(
        (canonical(edit.site, edit.layer), _bind_edit(edit, choose(edit.positions, edit.rows), encoded, card, fetch))
        for edit in stage.edits
    )
    taps = tuple(_bind_tap(tap, choose(tap.positions, tap.rows), card, fetch) for tap in stage.taps)
    gradients = tuple(_bind_gradient(gradient, choose, card, fetch) for gradient in stage.gradients)
    return BoundStage(rows, edits, taps, gradients)


def _bind_gradient(
    gradient: Gradient,
    choose: Callable[[Positions, tuple[int, ...] | None], dict[int, Selection]],
    card: ModelCard,
    fetch: Fetch,
) -> BoundGradient:
    taps = tuple(_bind_tap(tap, choose(tap.positions, tap.rows), card, fetch) for tap in gradient.taps)
    metric = gradient.metric
    if not isinstance(metric, Dot):
        return BoundGradient(gradient, taps)
    vector = fetch(metric.vector).float()
    _check_width(vector, metric.site, card, None)
    return BoundGradient(gradient, taps, vector, choose(metric.positions, None))


def _bind_edit(
    edit: Edit, chosen: dict[int, Selection], encoded: Sequence[Encoded], card: ModelCard, fetch: Fetch
) -> BoundEdit:
    if isinstance(edit.op, Copy):
        return _bind_copy(edit, edit.op, chosen, encoded)
    if isinstance(edit.op, Splice):
        return _bind_splice(edit, edit.op, chosen, card, fetch)
    found = [fetch(named) for named in vectors(edit.op)]
    for vector in found:
        _check_width(vector, edit.site, card, edit.index)
        _check_size(vector.float() * getattr(edit.op, "scale", 1.0), edit.site)
    several = isinstance(edit.op, AblateSubspace | ClampLatent)
    if several and any(vector.ndim != 1 for vector in found):
        raise RequestError(f"{edit.op.__struct_config__.tag} at {edit.site!r} takes directions of one dimension each")
    if (
        type(edit.op) is Add
        and edit.op.unit == "raw"
        and edit.index is None
        and edit.when is None
        and found[0].ndim == 1
    ):
        return BoundEdit(chosen, None, None, shifts=dict.fromkeys(chosen, edit.op.scale * found[0].float()))
    operation = bind(edit.op, torch.stack(found) if several else next(iter(found), None))
    return BoundEdit(
        chosen, edit.index, operation, when=None if edit.when is None else _bind_when(edit.when, card, fetch)
    )


def _bind_splice(edit: Edit, op: Splice, chosen: dict[int, Selection], card: ModelCard, fetch: Fetch) -> BoundEdit:
    reads = None if op.reads is None else BoundSource(canonical(op.reads, edit.layer))
    when = None if edit.when is None else _bind_when(edit.when, card, fetch)
    operation = bind_splice(op, Loaded.recent(op.dictionary, fetch))
    return BoundEdit(chosen, None, operation, when=when, reads=reads)


def _bind_when(when: When, card: ModelCard, fetch: Fetch) -> BoundWhen:
    vector = fetch(when.vector).float()
    _check_width(vector, when.site, card, None)
    if vector.ndim != 1 or not bool(vector.any()):
        raise RequestError(f"a condition at {when.site!r} looks along one direction, which must not be 0")
    address = canonical(when.site, when.layer)
    return BoundWhen(address, vector / vector.norm(), when.threshold, when.check, when.measure)


def _bind_copy(edit: Edit, op: Copy, chosen: dict[int, Selection], encoded: Sequence[Encoded]) -> BoundEdit:
    length = len(encoded[op.row].ids)
    mapping = None if op.positions is None else dict(op.positions)
    for source in (mapping or {}).values():
        if source >= length:
            raise RequestError(
                f"copy: position {source} is outside the prompt of source row {op.row}, which has {length} tokens"
            )
    if mapping is None and isinstance(edit.positions, At):
        for row, selection in chosen.items():
            beyond = [p for p in selection.prompt.nonzero()[0].tolist() if p >= length]
            if beyond:
                raise RequestError(
                    f"copy: row {row} asks for position {beyond[0]} of row {op.row}, which has {length} tokens; give a position map"
                )
    return BoundEdit(chosen, edit.index, None, source=op.row, mapping=mapping)


def _bind_tap(tap: Tap, chosen: dict[int, Selection], card: ModelCard, fetch: Fetch) -> BoundTap:
    layers = tuple(range(card.sites[tap.site].layers)) if tap.layers is None else tap.layers
    matrix = None
    if isinstance(tap.reduce, Project):
        directions = [fetch(vector).float() for vector in tap.reduce.vectors]
        for direction in directions:
            if direction.ndim != 1:
                raise RequestError(f"a direction to project on is one vector, not of {direction.ndim} dimensions")
            _check_width(direction, tap.site, card, tap.index)
        matrix = torch.stack(directions)
    form = tap.reduce.dictionary if isinstance(tap.reduce, Latents) else None
    return BoundTap(tap, tuple(chosen), layers, chosen, matrix, None if form is None else Loaded.recent(form, fetch))


def _check_width(vector: Tensor, site: str, card: ModelCard, index: tuple[int, ...] | None) -> None:
    shape = card.sites[site].shape
    if vector.ndim > len(shape):
        raise RequestError(f"the vector for {site!r} has {vector.ndim} dimensions; give one direction")
    wanted = (len(index) if index else shape[0],) if len(shape) == 1 else shape[-1:]
    if vector.shape[-1:] != wanted:
        raise RequestError(f"the vector has width {vector.shape[-1]}, but {site!r} of {card.name} has {wanted[0]}")
    if not bool(torch.isfinite(vector).all()):
        raise RequestError(f"the vector for {site!r} contains values that are not finite")


def _check_size(vector: Tensor, site: str) -> None:
    """A norm layer squares what it reads: an infinite square would come out as 0, and the model's answer as a flat one."""
    if not bool(torch.isfinite(vector.square().sum(-1)).all()):
        raise RequestError(
            f"the edit at {site!r} is too large: the model's norm of it is not finite; use a smaller scale"
        )


def place_on(tape: Tape, stage: BoundStage, batch: Mapping[int, int]) -> None:
    """Put a stage's edits and reads on the tape of a batch; `batch` gives the batch row of each of its program rows."""
    place_edits(tape, stage, batch)
    for tap in stage.taps:
        whole = tap.tap.site == "attn_pattern"
        spans = {batch[row]: WHOLE if whole else span_of(tap.selections[row]) for row in tap.rows}
        for layer in tap.layers:
            tape.want(canonical(tap.tap.site, layer), spans)
        if isinstance(tap.tap.reduce, Lens) and tap.tap.reduce.kl_final:
            tape.want(("ln_final", 0), spans)


def span_of(selection: Selection) -> Span:
    """From the first position that a selection can name to the one after the last; one at least, of the prompt."""
    marked = selection.prompt.nonzero()[0]
    first = int(marked[0]) if len(marked) else len(selection.prompt) - 1
    if selection.generated or selection.after is not None:
        return first, WHOLE[1]
    return first, int(marked[-1]) + 1 if len(marked) else first + 1


def place_edits(tape: Tape, stage: BoundStage, batch: Mapping[int, int]) -> None:
    """Put a stage's edits on the tape of a batch."""
    moved: dict[int, dict[int, Selection]] = {}
    for address, edit in stage.edits:
        key = id(edit.selections)
        if key not in moved:
            moved[key] = {batch[row]: chosen for row, chosen in edit.selections.items()}
        source = None if edit.source is None else batch[edit.source]
        shifts = None if edit.shifts is None else {batch[row]: vector for row, vector in edit.shifts.items()}
        tape.edit(address, replace(edit, selections=moved[key], source=source, shifts=shifts))


def chosen_positions(selection: Selection, row: BatchRow, span: tuple[int, int] | None = None) -> tuple[int, ...]:
    """The positions of a row that a selection names; with `span` (start, stop) those alone, which the row has reached."""
    start, stop = span or (0, row.read_length)
    return tuple(start + int(p) for p in selection.mask(start, stop, row.completion).nonzero()[0])


def clean_length(stage: BoundStage, row: int, prompt: int) -> int:
    """How many of the first positions of a row's prompt the stage's edits leave alone."""
    marks = [edit.selections[row].prompt for _, edit in stage.edits if row in edit.selections]
    return min((int(mark.argmax()) for mark in marks if mark.any()), default=prompt)


def fetcher(objects: Objects, kept: dict[str, "Kept"], device: torch.device) -> Fetch:
    """How vectors are found: stored objects by digest, references among what earlier stages kept; on the model's device."""

    def fetch(vector: Vector) -> Tensor:
        if not isinstance(vector, Ref):
            return objects.tensor(vector.digest, vector.name).to(device)
        if vector.name not in kept:
            raise RequestError(f"nothing was kept as {vector.name!r}")
        # A copy made here may take part in a graph; what was kept in inference may not.
        return kept[vector.name].at(vector).clone()

    return fetch


@dataclass(frozen=True)
class Kept:
    """What a tap kept for later stages: values by (layer, row), each [positions, ...], and the positions of each row."""

    site: str
    values: dict[tuple[int, int], Tensor]
    positions: dict[int, tuple[int, ...]]

    def whole(self, row: int, positions: int) -> Tensor:
        """What the head read at every position of a row. Raises RequestError when something else was kept."""
        if self.site != "ln_final" or (0, row) not in self.values or len(self.values[0, row]) != positions:
            raise RequestError(
                "a divergence needs `ln_final` of the same rows, kept at all positions by an earlier stage"
            )
        return self.values[0, row]

    def at(self, ref: Ref) -> Tensor:
        if (ref.layer, ref.row) not in self.values:
            raise RequestError(f"{ref.name!r} was not kept at layer {ref.layer} of row {ref.row}")
        values = self.values[ref.layer, ref.row]
        if not -len(values) <= ref.position < len(values):
            raise RequestError(
                f"{ref.name!r} holds {len(values)} positions, so there is no position {ref.position} in it"
            )
        return values[ref.position]
