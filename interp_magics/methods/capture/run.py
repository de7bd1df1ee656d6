"""A capture request on a worker."""

from collections.abc import Mapping, Sequence

from ...data import activations
from ...data.activations import Activations, ActivationsMeta, RowMeta
from ...engine.protocol import Engine, Outcome
from ...program.language import Program
from ..cost import layers_of
from ..finish import finished_rows, int32, provenance, to_numpy
from . import plan
from .request import CaptureRequest


def programs(request: CaptureRequest, engine: Engine) -> tuple[Program, ...]:
    """One tap per site."""
    return plan.programs(request, engine.card)


def result(request: CaptureRequest, outcomes: Sequence[Outcome], engine: Engine) -> bytes:
    """All rows as one object, its tensors named row/site/statistic."""
    rows = finished_rows(outcomes)
    tensors = {}
    for i, row in enumerate(rows):
        tensors[f"{i}/token_ids"] = int32(row.outcome.token_ids)
        tensors[f"{i}/completion_ids"] = int32(row.outcome.completion_ids)
        tensors[f"{i}/positions"] = int32(row.positions[0])
        for site, values in zip(request.sites, row.values, strict=True):
            assert isinstance(values, Mapping)
            for statistic, tensor in values.items():
                tensors[f"{i}/{site}/{statistic}"] = to_numpy(tensor)
    shown = {token for row in rows for token in (*row.outcome.token_ids, *row.outcome.completion_ids)}
    meta = ActivationsMeta(
        layers={site: layers_of(engine.card, site, request.layers) for site in request.sites},
        rows=tuple(
            RowMeta(i, row.outcome.prompt_length, row.completion(engine.tokens), row.outcome.finish, row.handle)
            for i, row in enumerate(rows, request.first)
        ),
        reduce=request.reduce,
        strings=engine.tokens.table(sorted(shown)),
        provenance=provenance(request, engine, kept=rows[0].reread),
    )
    return activations.encode(Activations(meta, tensors))
