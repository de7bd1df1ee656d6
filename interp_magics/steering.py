"""Calls about steering: a vector from contrasting texts, and what it does to answers and to other texts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from . import asked, building
from .asking import Asking
from .building import UserText
from .data import intervention
from .data.intervention import Intervention, InterventionMeta
from .data.questions import Questions
from .data.vectors import SteeringVector
from .errors import RequestError, one_of
from .methods import plans
from .methods.comparison.request import ComparisonRequest, Group
from .methods.side_effects.request import SideEffectsRequest
from .methods.steerability.request import Curve, SteerabilityRequest
from .methods.vector.request import FIT_METHODS, READ_AT, ReadAt, VectorRequest
from .program.language import At, Positions, Sampling, Span
from .program.layers import LayerSpec
from .program.numbers import integer
from .program.operations import UNITS, Stored
from .program.positions import parse_positions
from .program.sites import parse_site
from .ways import way

#: The grid of Tan et al. 2024, on which an item's slope is the sum of scale times propensity over 7.
SCALES = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
_CONTROLS = ("random", "shuffled")


class SteeringCalls(Asking):
    """What one asks of a pool about steering."""

    def steering_vector(
        self,
        positive: UserText | Sequence[UserText],
        negative: UserText | Sequence[UserText],
        layer: LayerSpec = None,
        site: str = "resid_post",
        position: str | int | Sequence[int] | At | Span = "last",
        method: str = "mean_difference",
        paired: bool | None = None,
        name: str = "",
        head: int | None = None,
        **call: Any,
    ) -> Any:
        """A direction from `negative` to `positive` at every layer, all from one pass: a SteeringVector, or a Job.

        `position`: "last", "mean" over all tokens, "label" (the first token at which the members of a pair differ),
        places, or a Span. `method`: "mean_difference", "logistic" or "pca" (uncentred). As many texts on both sides
        are pairs in order unless `paired` is False; at "head_out" it is the direction of one `head`.
        `vector.diagnostics()` says how well each layer separates them. Raises RequestError.
        """
        sides = [building.texts(side).texts if side else () for side in (positive, negative)]
        request = VectorRequest(
            texts=(*sides[0], *sides[1]),
            positive=len(sides[0]),
            site=parse_site(site)[0],
            layers=building.layers(layer, self._card_for(layer, call.get("model"))),
            position=_read_at(position),
            method=one_of("method", method, FIT_METHODS),
            paired=len(sides[0]) == len(sides[1]) if paired is None else bool(paired),
            name=name,
            head=None if head is None else integer("head", head),
        )
        return self._run(request, True, {}, **call)

    def intervention(self, name: str, steer: object, model: str | None = None) -> Intervention:
        """Vectors and edits under a name, in one file with all that they name: `steer=` takes it, and `interp openai` serves it.

        Raises RequestError for a name that is none, vectors of another checkpoint, and what the model does not support.
        """
        made, card = self._steering(steer, model), self.card(model)
        plans.validate(building.generate(building.texts("."), made, Sampling(1)), card)
        names = {vector.digest: vector.name for vector in made.vectors}
        objects = tuple(sorted((digest, names.get(digest, "")) for digest in made.objects))
        return intervention.made(InterventionMeta(name, card.name, card.digest, made.edits, objects), made.objects)

    def steerability(
        self,
        vector: SteeringVector,
        items: str | Path | Questions | Iterable[Any],
        scales: Sequence[float] = SCALES,
        layers: LayerSpec = None,
        positions: str | int | Sequence[int] | Positions = "last",
        unit: str = "raw",
        controls: bool = True,
        **call: Any,
    ) -> Any:
        """What adding the vector does to answers: a SteerabilityRun, or a Job with `wait=False`.

        `items` are a question file, Questions, or pairs of texts that end in the favoured and in the other answer. Each is
        read up to the first token at which its two texts differ; m = logit(favoured) - logit(other) there, at each layer of
        the vector and each scale, alone. Beside it run a random direction of the same length, and if the vector was fitted
        here the one that the same recipe finds with shuffled sides. Raises RequestError.
        """
        chosen = self._measured(vector, layers, call.get("model"))
        at = tuple(sorted(chosen.directions))
        name = vector.name if vector.name not in ("", *_CONTROLS) else "vector"
        curves = {name: chosen}
        if controls:
            curves["random"] = chosen.random()
            if set(chosen.shuffled) >= set(at):
                curves["shuffled"] = SteeringVector(chosen.shuffled, chosen.site, "shuffled", head=chosen.head)
        request = SteerabilityRequest(
            texts=tuple(building.each(chain.from_iterable(asked.pairs(items)))),
            site=chosen.site,
            layers=at,
            scales=asked.scales(scales),
            curves=tuple(
                Curve(name, tuple(Stored(each.digest, str(layer)) for layer in at)) for name, each in curves.items()
            ),
            positions=parse_positions(positions),
            unit=one_of("unit", unit, UNITS),
            head=chosen.head,
        )
        return self._run(request, True, {each.digest: each.data for each in curves.values()}, **call)

    def side_effects(
        self,
        vector: SteeringVector,
        texts: UserText | Sequence[UserText],
        scales: Sequence[float] = SCALES,
        layers: LayerSpec = None,
        positions: str | int | Sequence[int] | Positions = "all",
        unit: str = "raw",
        **call: Any,
    ) -> Any:
        """What adding the vector does to texts that have nothing to do with it: SideEffects, or a Job with `wait=False`.

        At each layer of the vector and each scale, alone: how much more surprising the texts become (perplexity), and how
        far the predictions move (KL). Raises RequestError.
        """
        chosen = self._measured(vector, layers, call.get("model"))
        at = tuple(sorted(chosen.directions))
        request = SideEffectsRequest(
            texts=building.texts(texts).texts,
            site=chosen.site,
            layers=at,
            vectors=tuple(Stored(chosen.digest, str(layer)) for layer in at),
            scales=asked.scales(scales),
            positions=parse_positions(positions),
            unit=one_of("unit", unit, UNITS),
            head=chosen.head,
        )
        return self._run(request, True, {chosen.digest: chosen.data}, **call)

    def compare_steering(
        self,
        ways: Mapping[str, Any],
        items: Any,
        neutral: UserText | Sequence[UserText],
        scales: Sequence[float] = SCALES,
        **call: Any,
    ) -> Any:
        """Several ways to move the same answers on one axis, what each does beside: a Comparison, or a Job with `wait=False`.

        A way is a vector (added at all its layers and positions; `vector.at(5).edit(…)` says otherwise, but not the last position
        alone, where it would cost neutral texts nothing), edits, several of
        these at once, or a prompt, which is put before a text as it is and is a system message in a chat. Additions are
        measured at all `scales`, anything else as it is; {strength: way} measures each at its own strength.

        `items` as in `steerability`, or {group: items}: the first group is what the ways are made for, others are out of
        its distribution, or ought to stay as they are. `neutral` texts have nothing to do with either. Raises RequestError.
        """
        groups = list(items.items()) if isinstance(items, Mapping) else [("items", items)]
        made = [way(str(name), one, asked.scales(scales), self._builder(call)) for name, one in _named(ways).items()]
        pairs = [(str(name), asked.pairs(some)) for name, some in groups]
        request = ComparisonRequest(
            texts=(
                *building.each(chain.from_iterable(pair for _, some in pairs for pair in some)),
                *building.texts(neutral).texts,
            ),
            items=sum(len(some) for _, some in pairs),
            groups=tuple(Group(name, len(some)) for name, some in pairs),
            ways=tuple(one for one, _ in made),
        )
        objects = {digest: data for _, found in made for digest, data in found.items()}
        return self._run(request, True, objects, **call)

    def _builder(self, call: Mapping[str, Any]) -> Callable[[object], building.Steering]:
        return lambda given: self._steering(given, call.get("model"))

    def _measured(self, vector: SteeringVector, layers: LayerSpec, model: str | None) -> SteeringVector:
        """The layers of a vector that are to be measured. Raises RequestError when it cannot be."""
        if not isinstance(vector, SteeringVector):
            raise RequestError(f"what is measured is a SteeringVector, not a {type(vector).__name__}")
        self._check_vectors([vector], model)
        card = self._card_for(layers, model)
        return vector if layers is None else vector.at(*(building.layers(layers, card) or ()))


def _named(ways: Any) -> Mapping[str, Any]:
    if not isinstance(ways, Mapping) or not ways:
        raise RequestError("ways are things by name, such as {'vector': vector, 'prompt': 'You are happy. '}")
    return ways


def _read_at(given: Any) -> ReadAt | At | Span:
    if isinstance(given, str):
        return one_of("position", given, READ_AT)
    places = parse_positions(given)
    if not isinstance(places, At | Span):
        raise RequestError(f"a vector is read at {', '.join(READ_AT)}, at places or at a Span, not at {places!r}")
    return places
