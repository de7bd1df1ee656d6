"""What an earlier result read, as the text, edits and tokens of a request that reads it again."""

from dataclasses import dataclass

import msgspec

from .data.activations import Activations
from .data.completions import Completion
from .data.lens_run import LensRun
from .errors import RequestError
from .methods.capture.request import CaptureRequest
from .methods.generate.request import GenerateRequest
from .methods.lens.request import LensRequest
from .program.handles import Handle
from .program.language import All, Edit, Positions, Sampling, Text, replace
from .program.operations import Copy

Readable = LensRun | Activations | Completion

_REQUESTS = LensRequest | CaptureRequest | GenerateRequest


@dataclass(frozen=True)
class Origin:
    """One text as it was read: what it was, how it was edited, the tokens that it went on with (forced now), its handle;
    sites, layers and positions that it was read at."""

    model: str
    digest: str
    text: Text
    edits: tuple[Edit, ...]
    sampling: Sampling | None
    handle: Handle | None
    sites: tuple[str, ...]
    layers: tuple[int, ...] | None
    positions: Positions


def origin(source: Readable, row: int = 0) -> Origin:
    """The origin of a result, or of row `row` of a capture. Raises RequestError for what has no text of its own."""
    if isinstance(source, Activations):
        if not 0 <= row < len(source.rows):
            raise RequestError(f"row {row} does not exist: the capture has {len(source.rows)}")
        number, ids, handle = source.meta.rows[row].row, source.rows[row].completion_ids, source.meta.rows[row].handle
        sites = source.sites
    elif row:
        raise RequestError(f"row {row} does not exist: a {type(source).__name__} is one text")
    elif isinstance(source, LensRun):
        number, ids, handle = source.meta.row, source.completion_ids, source.handle
        sites = source.sites
    elif isinstance(source, Completion):
        number, ids, handle = source.meta.row, source.completion_ids, None
        sites = ("resid_post",)
    else:
        raise RequestError(f"a lens run, a capture or a completion can be read again, not {type(source).__name__}")
    request = msgspec.convert(source.provenance.request, _REQUESTS)
    forced = tuple(int(i) for i in ids)
    return Origin(
        model=source.provenance.model,
        digest=source.provenance.digest,
        text=request.texts[number - request.first],
        edits=_edits_of(request.steer, number),
        sampling=Sampling(len(forced), forced=forced) if forced else None,
        handle=handle,
        sites=sites,
        layers=None if isinstance(request, GenerateRequest) else request.layers,
        positions=All() if isinstance(request, GenerateRequest) else request.positions,
    )


def _edits_of(edits: tuple[Edit, ...], row: int) -> tuple[Edit, ...]:
    mine = tuple(replace(edit, rows=None) for edit in edits if edit.rows is None or row in edit.rows)
    if any(isinstance(edit.op, Copy) for edit in mine):
        raise RequestError(
            "this row copies from another one, so it cannot be read again alone; make the whole call again"
        )
    return mine
