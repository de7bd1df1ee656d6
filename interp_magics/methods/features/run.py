"""A request to read features on a worker: passes, then one reading of all latents, a chunk of rows at a time."""

from collections.abc import Callable, Generator, Mapping, Sequence

import msgspec
import numpy as np
import torch
from torch import Tensor

from ...data.feature_table import FeatureMeta, FeatureTable, encode
from ...engine.dictionaries.few import Few
from ...engine.dictionaries.loaded import Loaded
from ...engine.dictionaries.reader import Piece, Reader
from ...engine.protocol import Engine, Objects, Outcome
from ...program.language import Program, Text
from ...program.latents import EFFECTS
from ..finish import provenance
from ..pieces import pieces
from . import plan
from .request import FeaturesRequest


def programs(request: FeaturesRequest, engine: Engine) -> tuple[Program, ...]:
    """One for each text, or piece of one."""
    return tuple(plan.program(request, piece) for _, piece in _pieces(request, engine))


def _pieces(request: FeaturesRequest, engine: Engine) -> list[tuple[tuple[int, int], Text]]:
    """Pieces with the number of their text in the corpus, and their own in the text."""
    context = plan.context(request, engine.card)
    return [
        ((number, place), piece)
        for number, text in enumerate(request.texts, request.first)
        for place, piece in enumerate(pieces(engine.tokens, text, context))
    ]


def steps(
    request: FeaturesRequest, outcomes: Sequence[Outcome], engine: Engine, objects: Objects
) -> Generator[None, None, bytes]:
    """Read, pausing between chunks; what it returns is the result."""
    encode_rows, centre = encoder(request, objects, engine.device)
    reader = Reader(plan.latents(request, engine.card), request.kept, engine.device, centre)
    numbered = [where for where, _ in _pieces(request, engine)]
    given = (_piece(outcome, where, engine) for outcome, where in zip(outcomes, numbered, strict=True))
    yield from reader.read(list(given), encode_rows)
    promoted = _effects(request, engine, objects) if request.first == 0 else {}
    return encode(_table(request, reader, outcomes, numbered, engine, promoted))


def encoder(
    request: FeaturesRequest, objects: Objects, device: torch.device
) -> tuple[Callable[[Tensor], Tensor], Tensor | None]:
    """What gives the latents of rows, and where their directions are seen from."""
    if request.dictionary is None:
        return torch.relu, None
    found = Loaded.of(request.dictionary, lambda stored: objects.tensor(stored.digest, stored.name).to(device))
    centre = found.weights["b_dec"] / found.form.scale if found.form.subtract_b_dec else None
    return found.encode, centre


def _effects(request: FeaturesRequest, engine: Engine, objects: Objects) -> dict[str, np.ndarray]:
    """The tokens that the rows of the decoder promote and suppress, where they are directions of the stream."""
    form = request.dictionary
    if form is None or form.out != engine.card.d_model or not plan.speaks(request):
        return {}
    stored = next(stored for stored in form.weights if stored.name == "W_dec")
    ids, values = engine.effects(objects.tensor(stored.digest, "W_dec"), EFFECTS)
    return {"effect_ids": ids.numpy().astype(np.int32), "effect_values": values.numpy().astype(np.float32)}


def rows(outcome: Outcome, engine: Engine) -> tuple[Tensor, Tensor]:
    """What was read of a text at positions that are no special tokens [n, d], and the positions."""
    positions = torch.tensor(engine.tokens.ordinary(outcome.rows[0].token_ids), dtype=torch.long)
    values = outcome.readings[0][0].values[0]
    assert isinstance(values, Mapping)
    return values["values"][0].flatten(1)[positions], positions


def _piece(outcome: Outcome, where: tuple[int, int], engine: Engine) -> Piece:
    x, positions = rows(outcome, engine)
    return Piece(x, torch.tensor(outcome.rows[0].token_ids)[positions], positions, *where)


def _table(
    request: FeaturesRequest,
    reader: Reader,
    outcomes: Sequence[Outcome],
    numbered: Sequence[tuple[int, int]],
    engine: Engine,
    promoted: dict[str, np.ndarray],
) -> FeatureTable:
    tensors = promoted | {
        name: getattr(reader, name).cpu().numpy()
        for name in ("count", "total", "squares", "histogram", "directions", "places")
    }
    for name in ("top", "samples"):
        tensors |= _columns(name, getattr(reader, name))
    keys, totals, counts = (column.cpu().numpy() for column in reader.tokens())
    tensors |= {"token_key": keys, "token_total": totals.astype(np.float32), "token_count": counts.astype(np.int32)}
    shown = np.unique(np.concatenate([tensors["top_piece"], tensors["samples_piece"]])).astype(np.int32)
    for name in ("top_piece", "samples_piece"):
        tensors[name] = np.searchsorted(shown, tensors[name]).astype(np.int32)
    ids = [outcomes[piece].rows[0].token_ids for piece in shown]
    tensors["piece_text"] = np.asarray([numbered[piece] for piece in shown], np.int32).reshape(-1, 2)
    tensors["piece_ids"] = np.asarray([token for row in ids for token in row], np.int32)
    tensors["piece_offsets"] = np.cumsum([0, *map(len, ids)]).astype(np.int64)
    told = {
        *tensors["piece_ids"].tolist(),
        *promoted.get("effect_ids", np.zeros(0, int)).ravel().tolist(),
        *(keys & 0xFFFFFFFF).tolist(),
    }
    digest = request.dictionary.weights[0].digest if request.dictionary else ""
    brief = msgspec.structs.replace(request, texts=(), first=0)
    meta = FeatureMeta(
        site=request.site,
        layer=request.layer,
        dictionary=digest,
        kept=request.kept,
        tokens=reader.rows,
        texts=len(request.texts),
        strings=engine.tokens.table(sorted(told)),
        provenance=provenance(brief, engine),
    )
    return FeatureTable(meta, tensors)


def _columns(name: str, kept: Few) -> dict[str, np.ndarray]:
    dtypes = {"key": np.int64, "piece": np.int32, "position": np.int32, "value": np.float32}
    columns = {column: values.cpu().numpy() for column, values in kept.columns().items()}
    columns["order"] = columns["order"].astype(np.float64 if name == "top" else np.int64)
    return {f"{name}_{column}": values.astype(dtypes.get(column, values.dtype)) for column, values in columns.items()}
