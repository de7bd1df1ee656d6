"""Calls about steering that take several jobs: a text steered and judged, and the whole protocol on one file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import asked, building
from .building import Steering, UserText
from .data.completions import Completion
from .data.lens_run import LensRun
from .data.questions import Questions
from .data.steerability import SteerabilityRun
from .data.steered_text import Continuation, SteeredText
from .data.vectors import SteeringVector
from .errors import RequestError
from .methods.lens.request import LensRequest
from .program.language import Ids, Sampling
from .program.layers import LayerSpec
from .steering import SCALES, SteeringCalls


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


class StudyCalls(SteeringCalls):
    """What one asks of a pool about steering that takes more than one answer."""

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
        _several(call)
        timeout = call.pop("timeout", None)
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
        head: int | None = None,
        **call: Any,
    ) -> SteeringStudy:
        """The whole protocol on one file: fit on a training part, choose the layer whose mean slope is steepest on a
        validation part, measure it on the rest. The same question is never in two parts. It waits for several jobs. Raises
        RequestError."""
        _several(call)
        questions = asked.as_questions(items)
        parts = questions.split(train, validation, seed)
        pairs = parts.train.pairs()
        vector = self.steering_vector(
            [one for one, _ in pairs], [other for _, other in pairs], layers, site, position, method, head=head, **call
        )
        chosen = self.steerability(vector, parts.validation, scales, **call)
        layer = chosen.best
        return SteeringStudy(
            vector, layer, chosen, self.steerability(vector.at(layer), parts.test, scales, **call), questions
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


def _several(call: Mapping[str, Any]) -> None:
    """Raises RequestError for what a call that makes several jobs cannot take."""
    for name in ("wait", "send"):
        if name in call:
            raise RequestError(f"{name}=: this call makes several jobs and waits for them; leave it out")
