"""The call that attributes a prediction to the parts that made it, as programs of the language."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from . import building
from .building import UserText
from .data import live
from .data.attribution import Attribution
from .data.lens_run import LensRun
from .data.readings import Readings
from .data.vectors import SteeringVector
from .errors import RequestError
from .methods.program.request import ProgramRequest
from .program.cards import ModelCard
from .program.language import Dot, Gradient, Ids, Last, LogitDifference, Program, Project, Raw, Row, Stage, Tap
from .program.operations import Stored
from .proving import ProofCalls

Vector = npt.NDArray[np.float32]

#: Parts must sum to the logits within this share of the largest of them.
_ADDS_UP = 2e-3
_NAME = "read"


class AttributionCalls(ProofCalls):
    """What one asks of a pool about where a prediction comes from."""

    def attribution(
        self,
        text: UserText,
        target: str | int | None = None,
        foil: str | int | None = None,
        *,
        position: int = -1,
        model: str | None = None,
    ) -> Attribution:
        """Direct logit attribution: what embedding, attention, MLPs and heads add to logit(target) - logit(foil).

        The prediction is that after token `position` of the text; `target` and `foil` are tokens, as texts or ids, by default the
        likeliest and the next. The scale of the final norm is held. Every sum is checked against the model's own logits, to 2e-3 of
        the largest part in float32 and to 5 % of it in 16 bits. Raises RequestError, also for a model whose logits are no sum of its
        parts because they are capped.
        """
        name = model or self.model
        card = self.card(name)
        run, (wanted, other) = self._tokens_of(text, target, foil, position, name)
        end = range(len(run.token_ids))[position] + 1
        ids = tuple(int(i) for i in run.token_ids[:end])
        # Another text beside it: what is no sum shows in a constant that changes with the text.
        beside = ids[: len(ids) // 2] or ((ids[0] + 1) % card.vocabulary,)
        rows = (Row(Ids(ids)), Row(Ids(beside)))
        first = self._program(_directions(rows, wanted, other, card), {}, name)
        directions = [_direction(first, row) for row in (0, 1)]
        held = SteeringVector({0: directions[0], 1: directions[1]}, name=_NAME)
        stored = [Stored(held.digest, str(row)) for row in (0, 1)]
        parts = self._program(_parts(rows, stored, card), {held.digest: held.data}, name)
        made = _attribution(run, ids, (wanted, other), first, parts, card)
        live.came_by([made], self)
        return made

    def _tokens_of(
        self, text: UserText, target: str | int | None, foil: str | int | None, position: int, model: str
    ) -> tuple[LensRun, tuple[int, int]]:
        """The text as it was read, and the two tokens."""
        named = list(dict.fromkeys(token for token in (target, foil) if token is not None))
        request = building.lens(
            building.texts(text),
            self.card(model),
            building.steering(()),
            kind="logit",
            top_k=3,
            layers_="-1",
            sites_="resid_post",
            positions_=position,
            track=named,
            sampled=None,
        )
        run: LensRun = self._run(request, False, {}, model=model)
        ids = dict(zip(named, run.tracked_ids.tolist(), strict=False))
        likeliest = run.top_ids[0, -1, 0].tolist()
        wanted = likeliest[0] if target is None else ids[target]
        other = next(i for i in likeliest if i != wanted) if foil is None else ids.get(foil, wanted)
        if wanted == other:
            raise RequestError("target and foil are the same token, so there is no difference to attribute")
        return run, (wanted, other)

    def _program(self, program: Program, objects: dict[str, bytes], model: str) -> Readings:
        made: Readings = self._run(ProgramRequest(program), True, objects, model=model)
        return made


def _directions(rows: Sequence[Row], target: int, foil: int, card: ModelCard) -> Program:
    """The derivative of the logit difference by the stream that leaves the last layer: how the head reads it."""
    read = Tap("resid_post", (card.layers - 1,), Last())
    gradient = Gradient(LogitDifference(target, foil), (read,), ("norm",))
    logits = Tap("logits", positions=Last(), index=(target, foil), reduce=Raw("float32"))
    return Program(tuple(rows), (Stage((logits,), (), (gradient,)),))


def _parts(rows: Sequence[Row], vectors: Sequence[Stored], card: ModelCard) -> Program:
    """Every part along what the head reads; for heads the derivative of attention's part by what each of them puts out."""
    taps = [
        Tap(site, None, Last(), (row,), reduce=Project((vector,)))
        for row, vector in enumerate(vectors)
        for site in ("embed", "attn_out", "mlp_out")
    ]
    if "head_out" not in card.sites:
        return Program(tuple(rows), (Stage(tuple(taps)),))
    gradients = tuple(
        Gradient(Dot("attn_out", layer, vectors[0], Last()), (Tap("head_out", (layer,), Last()),), ("norm",))
        for layer in range(card.layers)
    )
    heads = Tap("head_out", None, Last())
    return Program(tuple(rows), (Stage(tuple(taps)), Stage((heads,), (), gradients, (0,))))


def _direction(readings: Readings, row: int) -> Vector:
    found: Vector = np.asarray(readings.gradient(row=row)["values"], np.float32)[0, 0]
    return found


def _attribution(
    run: LensRun, ids: tuple[int, ...], tokens: tuple[int, int], first: Readings, parts: Readings, card: ModelCard
) -> Attribution:
    sums = [[_values(parts, 3 * row + tap, row) for tap in range(3)] for row in (0, 1)]
    totals = [float(np.subtract(*_logits(first, row))) for row in (0, 1)]
    constants = [total - float(sum(part.sum() for part in row)) for total, row in zip(totals, sums, strict=True)]
    scale = max(1.0, *(float(np.abs(part).max()) for row in sums for part in row))
    tolerance = (_ADDS_UP if card.dtype == "float32" else 0.05) * scale
    if abs(constants[0] - constants[1]) > tolerance:
        raise RequestError(
            f"the logits of {card.name} are no sum of its parts (they miss it by {constants[0]:.3g} and {constants[1]:.3g} on two "
            "texts), as where a model caps its logits; attribution is not defined for it"
        )
    embed, attn, mlp = sums[0]
    return Attribution(
        target=tokens[0],
        foil=tokens[1],
        strings=dict(run.meta.strings),
        token_ids=np.array(ids, np.int32),
        embed=float(embed.sum()),
        attn=attn,
        mlp=mlp,
        heads=_heads(parts, card),
        constant=constants[0],
        total=totals[0],
        provenance=parts.meta.provenance,
    )


def _values(readings: Readings, tap: int, row: int) -> Vector:
    found: Vector = np.asarray(readings.read(0, tap, row)["values"], np.float32)[:, 0, 0]
    return found


def _logits(readings: Readings, row: int) -> Vector:
    found: Vector = np.asarray(readings.read(row=row)["values"], np.float32)[0, 0]
    return found


def _heads(readings: Readings, card: ModelCard) -> Vector | None:
    """[L, H]: what each head puts out, times how attention's part changes with it."""
    if "head_out" not in card.sites:
        return None
    out = np.asarray(readings.read(1, 0, 0)["values"], np.float32)[:, 0]
    slopes = [np.asarray(readings.gradient(1, layer)["values"], np.float32)[0, 0] for layer in range(card.layers)]
    heads: Vector = np.einsum("lhd,lhd->lh", out, np.stack(slopes))
    return heads
