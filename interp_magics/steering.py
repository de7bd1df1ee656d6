"""Calls about steering: a vector from contrasting texts, what it does to answers, and both from a file of questions."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import numpy as np

from . import building
from .asking import Asking
from .building import Steering, UserText
from .data.completions import Completion
from .data.lens_run import LensRun
from .data.questions import Questions, questions, read_questions
from .data.steerability import SteerabilityRun
from .data.steered_text import Continuation, SteeredText
from .data.vectors import SteeringVector
from .errors import RequestError, nearest
from .methods.lens.request import LensRequest
from .methods.side_effects.request import SideEffectsRequest
from .methods.steerability.request import Curve, SteerabilityRequest
from .methods.vector.request import FitMethod, ReadAt, VectorRequest
from .program.language import At, Ids, Positions, Sampling, Span
from .program.layers import LayerSpec
from .program.operations import Stored
from .program.positions import parse_positions
from .program.sites import parse_site

#: The grid of Tan et al. 2024, on which an item's slope is the sum of scale times propensity over 7.
SCALES = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
_UNITS = ("raw", "stream")
_CONTROLS = ("random", "shuffled")


@dataclass(frozen=True)
class SteeringStudy:
    """A vector fitted on one part of a file, its layer chosen on a second, and measured on a third that it has not seen."""

    vector: SteeringVector
    layer: int
    validation: SteerabilityRun
    test: SteerabilityRun
    questions: Questions

    def __repr__(self) -> str:
        return f"SteeringStudy({self.questions!r}; layer {self.layer} chosen on validation; test: {self.test!r})"


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
        **call: Any,
    ) -> Any:
        """A direction from `negative` to `positive` at every layer, all from one pass: a SteeringVector, or a Job.

        `position`: "last", "mean" over all tokens, "label" (the first token at which the members of a pair differ), places,
        or a Span. `method`: "mean_difference", "logistic" or "pca" (uncentred). As many texts on both sides are pairs in
        order unless `paired` is False. `vector.diagnostics()` says how well each layer separates them. Raises RequestError.
        """
        sides = [building.texts(side).texts if side else () for side in (positive, negative)]
        known = get_args(FitMethod)
        if method not in known:
            raise RequestError(f"unknown method {method!r}{nearest(method, known)}")
        request = VectorRequest(
            texts=(*sides[0], *sides[1]),
            positive=len(sides[0]),
            site=parse_site(site)[0],
            layers=building.layers(layer, self._card_for(layer, call.get("model"))),
            position=_read_at(position),
            method=method,  # type: ignore[arg-type]
            paired=len(sides[0]) == len(sides[1]) if paired is None else bool(paired),
            name=name,
        )
        return self._run(request, True, {}, **call)

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
        chosen = self._measured(vector, unit, layers, call.get("model"))
        asked = tuple(sorted(chosen.directions))
        name = vector.name if vector.name not in ("", *_CONTROLS) else "vector"
        curves = {name: chosen}
        if controls:
            curves["random"] = chosen.random()
            if set(chosen.shuffled) >= set(asked):
                curves["shuffled"] = SteeringVector(chosen.shuffled, chosen.site, "shuffled")
        request = SteerabilityRequest(
            texts=tuple(building.each(chain.from_iterable(_pairs(items)))),
            site=chosen.site,
            layers=asked,
            scales=_scales(scales),
            curves=tuple(
                Curve(name, tuple(Stored(each.digest, str(layer)) for layer in asked)) for name, each in curves.items()
            ),
            positions=parse_positions(positions),
            unit=unit,  # type: ignore[arg-type]
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
        chosen = self._measured(vector, unit, layers, call.get("model"))
        asked = tuple(sorted(chosen.directions))
        request = SideEffectsRequest(
            texts=building.texts(texts).texts,
            site=chosen.site,
            layers=asked,
            vectors=tuple(Stored(chosen.digest, str(layer)) for layer in asked),
            scales=_scales(scales),
            positions=parse_positions(positions),
            unit=unit,  # type: ignore[arg-type]
        )
        return self._run(request, True, {chosen.digest: chosen.data}, **call)

    def _measured(self, vector: SteeringVector, unit: str, layers: LayerSpec, model: str | None) -> SteeringVector:
        """The layers of a vector that are to be measured. Raises RequestError when it cannot be."""
        if not isinstance(vector, SteeringVector):
            raise RequestError(f"what is measured is a SteeringVector, not a {type(vector).__name__}")
        if unit not in _UNITS:
            raise RequestError(f"unknown unit {unit!r}{nearest(unit, _UNITS)}")
        self._check_vectors([vector], model)
        card = self._card_for(layers, model)
        return vector if layers is None else vector.at(*(building.layers(layers, card) or ()))

    def steered(
        self,
        prompt: UserText,
        steer: object,
        max_new_tokens: int = 40,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        **call: Any,
    ) -> SteeredText:
        """A prompt gone on with twice, without `steer` and with it, and the log-probability of every token of both texts
        under both: what steering changes, and what it costs. It waits for several jobs. Raises RequestError."""
        timeout = _several(call)
        chosen, sampled = building.texts(prompt), building.sampling(max_new_tokens, temperature, top_p, stop, seed)
        if chosen.many:
            raise RequestError(f"one prompt is steered at a time, not {len(chosen.texts)}")
        made = self._steering(steer, call.get("model"))
        if not made.edits:
            raise RequestError("steer= names nothing, so there is nothing to compare; give a vector or an edit")
        ways = (Steering((), {}), made)
        call["wait"] = False
        asked = [self._run(building.generate(chosen, way, sampled), False, way.objects, **call) for way in ways]
        texts = [self._wait(job, timeout) for job in asked]
        judged = [[self._judge(text, way, **call) for way in ways] for text in texts]
        plain, steered = (
            _continuation(text, *(self._wait(job, timeout) for job in jobs))
            for text, jobs in zip(texts, judged, strict=True)
        )
        return SteeredText(texts[0].prompt, _described(steer), texts[0].provenance.model, plain, steered)

    def _judge(self, text: Completion, way: Steering, **call: Any) -> Any:
        """A job: the log-probability of every token of a completion at the last layer, that is of the model, under edits."""
        ids = tuple(int(i) for i in text.completion_ids)
        request = LensRequest(
            texts=(Ids(tuple(int(i) for i in text.token_ids[: text.meta.prompt_length])),),
            top_k=1,
            layers=(self.card(call.get("model")).layers - 1,),
            track=tuple(dict.fromkeys(ids)),
            sampling=Sampling(len(ids), forced=ids),
            steer=way.edits,
            entropy=False,
            kl_final=False,
        )
        return self._run(request, False, way.objects, **call)

    def steer_eval(
        self,
        items: str | Path | Questions | Sequence[Mapping[str, str]],
        layers: LayerSpec = None,
        site: str = "resid_post",
        method: str = "mean_difference",
        position: str = "label",
        scales: Sequence[float] = SCALES,
        train: float = 0.4,
        validation: float = 0.1,
        seed: int = 0,
        **call: Any,
    ) -> SteeringStudy:
        """The whole protocol on one file: fit on a training part, choose the layer whose mean slope is steepest on a
        validation part, measure it on the rest. The same question is never in two parts. It waits for several jobs. Raises
        RequestError."""
        _several(call, "timeout")
        asked = _questions(items)
        parts = asked.split(train, validation, seed)
        pairs = parts.train.pairs()
        vector = self.steering_vector(
            [one for one, _ in pairs], [other for _, other in pairs], layers, site, position, method, **call
        )
        chosen = self.steerability(vector, parts.validation, scales, **call)
        layer = chosen.best
        return SteeringStudy(
            vector, layer, chosen, self.steerability(vector.at(layer), parts.test, scales, **call), asked
        )


def _continuation(text: Completion, plain: LensRun, steered: LensRun) -> Continuation:
    places = np.arange(text.meta.prompt_length - 1, len(text.token_ids))
    column = {int(token): i for i, token in enumerate(plain.tracked_ids)}
    columns = [column[int(token)] for token in text.completion_ids]
    found = [np.asarray(run.tracked_logprobs[0, 0][places, columns], np.float32) for run in (plain, steered)]
    strings = plain.meta.strings
    return Continuation(text, tuple(strings[int(token)] for token in text.completion_ids), *found)


def _described(steer: object) -> str:
    vectors = [getattr(one, "vectors", (one,))[0] for one in building.flat(steer)]
    named = [one.name or "a vector" if isinstance(one, SteeringVector) else "an edit" for one in vectors]
    return ", ".join(dict.fromkeys(named))


def _read_at(given: Any) -> ReadAt | At | Span:
    names = get_args(ReadAt)
    if given in names if isinstance(given, str) else False:
        return given  # type: ignore[no-any-return]
    if isinstance(given, str):
        raise RequestError(f"unknown position {given!r}{nearest(given, names)}")
    places = parse_positions(given)
    if not isinstance(places, At | Span):
        raise RequestError(f"a vector is read at {', '.join(names)}, at places or at a Span, not at {places!r}")
    return places


def _scales(given: Sequence[float]) -> tuple[float, ...]:
    try:
        made = np.asarray(given, np.float64)
    except ValueError:
        raise RequestError(f"scales are finite numbers in a list, not {given!r}") from None
    if made.ndim != 1 or not np.isfinite(made).all():
        raise RequestError(f"scales are finite numbers in a list, not {given!r}")
    return tuple(float(scale) for scale in made)


def _pairs(items: Any) -> list[tuple[Any, Any]]:
    given = items if isinstance(items, str | Path | Questions) else list(items) if isinstance(items, Iterable) else None
    if given is None:
        raise RequestError(f"items are a question file, Questions, or pairs of texts, not {type(items).__name__}")
    if isinstance(given, str | Path | Questions) or (given and all(isinstance(one, Mapping) for one in given)):
        return _questions(given).pairs()
    for number, one in enumerate(given):
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise RequestError(f"item {number} is no pair of texts, one for each answer")
    return [(one[0], one[1]) for one in given]


def _questions(items: Any) -> Questions:
    """Questions from wherever they are; rows that are left out are told of."""
    if isinstance(items, Questions):
        return items
    found = read_questions(items) if isinstance(items, str | Path) else questions(list(items))
    if found.unusable:
        warnings.warn(repr(found), stacklevel=4)
    return found


def _several(call: dict[str, Any], *refused: str) -> float | None:
    """The timeout of a call that waits for several jobs. Raises RequestError for what such a call cannot take."""
    for name in ("wait", "send", *refused):
        if name in call:
            raise RequestError(f"{name}=: this call makes several jobs and waits for them; leave it out")
    timeout: float | None = call.pop("timeout", None)
    return timeout
