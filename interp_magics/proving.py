"""Calls that prove or refute what a feature does."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import building
from .building import UserText
from .client.job import Job
from .corpora import listed
from .data.dictionary import Dictionary
from .data.feature_proof import FeatureProof, Floats, matched
from .data.feature_table import FeatureTable
from .errors import RequestError
from .features import FeatureCalls
from .methods.program.request import ProgramRequest
from .program.language import Edit, Program, Row, Stage, Surprisal, Tap, Text, replace
from .program.numbers import integer
from .streaming import Asked

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
        function from the completion's text to a number from 0 to 1. `table` (of `features`) gives the densities by which controls are
        chosen and the activation that `levels` are multiples of; without it the prompts are read for it. `neutral` texts tell
        of side effects. `smallest` is the change that counts. Decoding is greedy. Raises RequestError.
        """
        number = integer("latent", latent)
        sae.vector(number)
        present, absent, neutral = listed(present), listed(absent), listed(neutral)
        judge = _judge(behaviour)
        if 0.0 not in doses or 1.0 not in doses or not levels:
            raise RequestError("doses must hold 0 (ablation) and 1 (nothing), and there must be a level")
        if not len(present) and not len(absent):
            raise RequestError("there is no prompt to test the feature on")
        known = table or self.features(sae, [*present, *absent], model=model)
        known.check_of(sae)
        if not known.max[number]:
            raise RequestError(
                f"latent {number} is never active in the texts that were read, so nothing can be said of it; give a table of more texts"
            )
        near = {other for other, cosine in known.correlated(number, known.latents) if cosine > _APART}
        chosen = (number, *matched(number, known.density, known.mean, near, controls))
        with Asked(self._connection.release) as asked:
            ask = _Asking(self, asked, sae, judge, max_new_tokens, positions, model)
            as_it_is, plain = ask(present, ()), ask(absent, ())
            shown = [
                [as_it_is if dose == 1 else ask(present, ask.times(one, dose)) for dose in doses] for one in chosen
            ]
            raised = [[ask(absent, ask.held(one, level * known.max[one])) for level in levels] for one in chosen]
            most = max(levels)
            beside = [edit for one in chosen for edit in (ask.times(one, 0.0), ask.held(one, most * known.max[one]))]
            side = ask.divergences(neutral, beside)
            return FeatureProof(
                latent=number,
                controls=chosen[1:],
                doses=tuple(float(dose) for dose in doses),
                levels=tuple(float(level) for level in levels),
                present=ask.table(shown),
                absent=ask.table(raised),
                plain_absent=np.asarray(ask.measured(plain)),
                side_effects=side.reshape(len(chosen), 2),
                smallest=float(smallest),
                made_from={
                    "dictionary": sae.digest,
                    "checkpoint": self.card(model).digest,
                    "behaviour": str(behaviour),
                },
            )


def _compared(text: Text, changes: int, edits: tuple[Edit, ...]) -> Program:
    """A text as it is, and beside it under each change."""
    return Program((Row(text),) * (changes + 1), (Stage((Tap("ln_final", reduce=Surprisal(against=0)),), edits),))


class _Asking:
    """Passes under one change each, all asked for before any is waited for."""

    def __init__(
        self,
        pool: ProofCalls,
        asked: Asked,
        sae: Dictionary,
        judge: Callable[[str], float],
        tokens: int,
        positions: str,
        model: str | None,
    ) -> None:
        self._pool, self._asked, self._sae, self._judge = pool, asked, sae, judge
        self._tokens, self._positions, self._model = tokens, positions, model

    def times(self, latent: int, times: float) -> object:
        """The edit that multiplies a latent."""
        return self._sae.clamp(latent, times=float(times), positions=self._positions)

    def held(self, latent: int, level: float) -> object:
        """The edit that holds a latent at a level."""
        return self._sae.clamp(latent, float(level), float(level), positions=self._positions)

    def __call__(self, prompts: Sequence[UserText], steer: object) -> Job[Any] | None:
        """Ask for completions; None where there are no prompts."""
        if not len(prompts):
            return None
        steering = self._pool._steering(steer, self._model)
        request = building.generate(building.texts(prompts), steering, building.sampling(self._tokens, 0.0, 1.0, (), 0))
        return self._asked.add(self._pool._run(request, True, steering.objects, model=self._model, wait=False))

    def table(self, jobs: Sequence[Sequence[Job[Any] | None]]) -> Floats:
        """The behaviour of each completion [rows, columns, prompts]; a job that stands in several places is judged once."""
        known = {id(job): self.measured(job) for row in jobs for job in row}
        return np.asarray([[known[id(job)] for job in row] for row in jobs]).reshape(len(jobs), len(jobs[0]), -1)

    def divergences(self, texts: Sequence[UserText], changes: Sequence[object]) -> Floats:
        """Mean KL in nats between the model's predictions as they are and under each change, over the tokens of texts."""
        if not len(texts):
            return np.zeros(len(changes))
        steering = [self._pool._steering(change, self._model) for change in changes]
        objects = {digest: data for one in steering for digest, data in one.objects.items()}
        edits = tuple(replace(edit, rows=(row,)) for row, one in enumerate(steering, 1) for edit in one.edits)
        requests = [ProgramRequest(_compared(text, len(changes), edits)) for text in building.texts(texts).texts]
        jobs = [self._asked.add(self._pool._run(one, True, objects, model=self._model, wait=False)) for one in requests]
        results = [job.result() for job in jobs]
        rows = range(1, len(changes) + 1)
        found = [[result.read(row=row)["divergence"][0][:-1] for row in rows] for result in results]
        if not any(len(one[0]) for one in found):
            raise RequestError("side effects are measured on predictions; give neutral texts of two tokens or more")
        mean: Floats = np.concatenate([np.asarray(one, np.float64) for one in found], axis=1).mean(1)
        return mean

    def measured(self, job: Job[Any] | None) -> list[float]:
        """The behaviour of each completion. Raises RequestError for one that is no number from 0 to 1."""
        if job is None:
            return []
        measured = [float(self._judge(completion.text)) for completion in job.result()]
        if wrong := [value for value in measured if not 0 <= value <= 1]:
            raise RequestError(f"a behaviour is a number from 0 (it does not show) to 1 (it does), not {wrong[0]}")
        return measured


def _judge(behaviour: Behaviour) -> Callable[[str], float]:
    if callable(behaviour):
        return behaviour
    try:
        found = re.compile(behaviour, re.DOTALL)
    except (re.error, TypeError) as error:
        raise RequestError(f"behaviour is a regular expression or a function of the completion: {error}") from None
    return lambda text: float(found.search(text) is not None)
