"""Calls that prove or refute what a feature does."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import building
from .building import UserText
from .client.job import Job
from .data.dictionary import Dictionary
from .data.feature_proof import FeatureProof, matched
from .data.feature_table import FeatureTable
from .errors import RequestError
from .features import FeatureCalls
from .methods.program.request import ProgramRequest
from .program.language import Program, Row, Stage, Surprisal, Tap, Text, replace
from .program.numbers import integer

Behaviour = str | Callable[[str], float]

_DOSES = (0.0, 0.5, 1.0, 2.0)
_LEVELS = (0.25, 0.5, 1.0)
#: A control must not be active where the feature is: no larger cosine of their activations than this.
_APART = 0.5


class ProofCalls(FeatureCalls):
    """What one asks of a pool about what features do."""

    def test_feature(
        self,
        sae: Dictionary,
        latent: int,
        present: Sequence[UserText],
        absent: Sequence[UserText],
        behaviour: Behaviour,
        *,
        table: FeatureTable | None = None,
        neutral: Sequence[UserText] = (),
        max_new_tokens: int = 40,
        controls: int = 5,
        doses: Sequence[float] = _DOSES,
        levels: Sequence[float] = _LEVELS,
        smallest: float = 0.2,
        positions: str = "all",
        model: str | None = None,
    ) -> FeatureProof:
        """Change a feature and measure what becomes of a behaviour: a FeatureProof with its verdict.

        `present` are prompts whose completions show the behaviour, `absent` others; `behaviour` is a regular expression, or a
        function from the completion's text to a number. `table` (of `features`) gives the densities by which controls are
        chosen and the activation that `levels` are multiples of; without it the prompts are read for it. `neutral` texts tell
        of side effects. `smallest` is the change that counts. Decoding is greedy. Raises RequestError.
        """
        number = integer("latent", latent)
        sae.vector(number)
        judge = _judge(behaviour)
        if 0.0 not in doses or 1.0 not in doses or not levels:
            raise RequestError("doses must hold 0 (ablation) and 1 (nothing), and there must be a level")
        if not len(present) and not len(absent):
            raise RequestError("there is no prompt to test the feature on")
        known = table or self.features(sae, [*present, *absent], model=model)
        if known.latents != sae.latents or not known.max[number]:
            raise RequestError(
                f"latent {number} is never active in the texts that were read, so nothing can be said of it; give a table of more texts"
            )
        near = {other for other, cosine in known.correlated(number, known.latents) if cosine > _APART}
        chosen = (number, *matched(number, known.density, known.mean, near, controls))
        ask = _Asking(self, sae, judge, max_new_tokens, positions, model)
        shown = [[ask(present, ask.times(one, dose)) for dose in doses] for one in chosen]
        raised = [[ask(absent, ask.held(one, level * known.max[one])) for level in levels] for one in chosen]
        plain = ask(absent, ())
        side = [
            [
                self._divergence(neutral, edit, model)
                for edit in (ask.times(one, 0.0), ask.held(one, levels[-1] * known.max[one]))
            ]
            for one in chosen
        ]
        return FeatureProof(
            latent=number,
            controls=chosen[1:],
            doses=tuple(float(dose) for dose in doses),
            levels=tuple(float(level) for level in levels),
            present=np.asarray([[ask.measured(job) for job in row] for row in shown]).reshape(
                len(chosen), len(doses), -1
            ),
            absent=np.asarray([[ask.measured(job) for job in row] for row in raised]).reshape(
                len(chosen), len(levels), -1
            ),
            plain_absent=np.asarray(ask.measured(plain)),
            side_effects=np.asarray(side),
            smallest=float(smallest),
            made_from={"dictionary": sae.digest, "checkpoint": self.card(model).digest, "behaviour": str(behaviour)},
        )

    def _divergence(self, texts: Sequence[UserText], steer: object, model: str | None) -> float:
        """Mean KL in nats between the model's predictions as they are and under an edit, over the tokens of texts."""
        total, tokens = 0.0, 0
        steering = self._steering(steer, model)
        for text in building.texts(texts).texts if len(texts) else ():
            request = ProgramRequest(_compared(text, steering.edits))
            found = self._run(request, True, steering.objects, model=model)
            values = found.read(row=1)["divergence"][0][:-1]
            total, tokens = total + float(values.sum()), tokens + len(values)
        return total / tokens if tokens else 0.0


def _compared(text: Text, edits: Sequence[Any]) -> Program:
    tap = Tap("ln_final", reduce=Surprisal(against=0))
    return Program((Row(text), Row(text)), (Stage((tap,), tuple(replace(edit, rows=(1,)) for edit in edits)),))


class _Asking:
    """Completions of prompts under one change, all asked for before any is waited for."""

    def __init__(
        self,
        pool: ProofCalls,
        sae: Dictionary,
        judge: Callable[[str], float],
        tokens: int,
        positions: str,
        model: str | None,
    ) -> None:
        self._pool, self._sae, self._judge = pool, sae, judge
        self._tokens, self._positions, self._model = tokens, positions, model

    def times(self, latent: int, times: float) -> object:
        """The edit that multiplies a latent; none for 1."""
        return () if times == 1 else self._sae.clamp(latent, times=float(times), positions=self._positions)

    def held(self, latent: int, level: float) -> object:
        """The edit that holds a latent at a level."""
        return self._sae.clamp(latent, float(level), float(level), positions=self._positions)

    def __call__(self, prompts: Sequence[UserText], steer: object) -> Job[Any] | None:
        """Ask for completions; None where there are no prompts."""
        if not len(prompts):
            return None
        steering = self._pool._steering(steer, self._model)
        request = building.generate(building.texts(prompts), steering, building.sampling(self._tokens, 0.0, 1.0, (), 0))
        job: Job[Any] = self._pool._run(request, True, steering.objects, model=self._model, wait=False)
        return job

    def measured(self, job: Job[Any] | None) -> list[float]:
        """The behaviour of each completion."""
        return [] if job is None else [float(self._judge(completion.text)) for completion in job.result()]


def _judge(behaviour: Behaviour) -> Callable[[str], float]:
    if callable(behaviour):
        return behaviour
    try:
        found = re.compile(behaviour, re.DOTALL)
    except (re.error, TypeError) as error:
        raise RequestError(f"behaviour is a regular expression or a function of the completion: {error}") from None
    return lambda text: float(found.search(text) is not None)
