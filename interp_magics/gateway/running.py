"""From an ask to what it gives: one job on the pool, and a short one for how tokens read when their log-probabilities are asked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from .. import building
from ..api import Pool
from ..client.job import Job
from ..data.completions import Completion
from ..data.readings import Readings
from ..data.tokenized import Tokenized
from ..errors import RequestError
from ..program.language import Lens, Program, Row, Stage, Surprisal, Tap, replace
from .answers import Choice, Token, alternatives
from .asks import Ask
from .offer import Offered

_T = TypeVar("_T")


@dataclass
class Running:
    """One ask on its way. `cancel` ends its job."""

    pool: Pool
    offered: Offered
    ask: Ask
    job: Job[Any] | None = None
    left: bool = False

    async def choices(self) -> list[Choice]:
        """A completion for each text. Raises what the pool has against it."""
        told = self.ask.logprobs is not None or self.ask.max_tokens == 0
        if told and self.ask.stop:
            raise RequestError("stop and logprobs together are not answered here; leave one out")
        if told:
            self._check_last_site()
            return await self._with_logprobs()
        made = await (await self._begun(partial(self._generate, await self._most())))
        return [_plain(one, self.ask.echo) for one in made]

    async def growing(self) -> AsyncIterator[tuple[int, str, Choice | None]]:
        """Of each text its number and what is there of its completion, again and again; at the end with its choice."""
        job = await self._begun(partial(self._generate, await self._most()))
        async for event in job:
            if event.part == "generated":
                yield event.row, event.text, None
        for number, one in enumerate(await job):
            yield number, one.text, _plain(one, False)

    def _check_last_site(self) -> None:
        """The likeliest tokens are decoded from the stream, which an edit after it does not reach."""
        edits = self.offered.intervention.meta.edits if self.offered.intervention else ()
        if any(edit.site == "ln_final" for edit in edits):
            raise RequestError(f"{self.offered.id} writes at ln_final, so that its logprobs are not told here")

    def cancel(self) -> None:
        """Whoever asked has gone."""
        self.left = True
        if self.job is not None:
            self.job.cancel()

    async def _begun(self, submit: Callable[[], Job[_T]]) -> Job[_T]:
        job = await _aside(submit)
        self.job = job
        if self.left:
            job.cancel()
        return job

    async def _most(self) -> int:
        return await _aside(self._room) if self.ask.max_tokens is None else self.ask.max_tokens

    def _room(self) -> int:
        """Tokens until the context is full."""
        count = max(len(one) for one in self.pool.tokenize(list(self.ask.texts), self.offered.model))
        return max(1, self.pool.card(self.offered.model).context - count)

    def _generate(self, most: int) -> Job[list[Completion]]:
        job: Job[list[Completion]] = self.pool.generate(
            list(self.ask.texts),
            most,
            self.ask.temperature,
            self.ask.top_p,
            self.ask.stop,
            self.ask.seed,
            self.offered.intervention or (),
            model=self.offered.model,
            wait=False,
        )
        return job

    async def _with_logprobs(self) -> list[Choice]:
        found: Readings = await (await self._begun(self._read))
        rows = [_Read.of(found, number) for number in range(len(self.ask.texts))]
        every = sorted({int(i) for row in rows for i in row.top_ids.ravel()})
        asked = [row.ids for row in rows] + ([every] if every else [])
        texts: list[Tokenized] = await _aside(partial(self.pool.tokenize, asked, self.offered.model))
        names = dict(zip(every, texts[-1].tokens, strict=True)) if every else {}
        return [self._told(row, texts[number].tokens, names) for number, row in enumerate(rows)]

    def _read(self) -> Job[Readings]:
        ask, card = self.ask, self.pool.card(self.offered.model)
        sampled = building.sampling(ask.max_tokens or 0, ask.temperature, ask.top_p, (), ask.seed)
        steer = building.steering(self.offered.intervention or ())
        rows = tuple(
            Row(text, None if sampled is None else replace(sampled, row=number))
            for number, text in enumerate(building.texts(list(ask.texts)).texts)
        )
        lens = Lens(top_k=max(1, ask.logprobs or 0), entropy=False, kl_final=False)
        taps = (Tap("ln_final", reduce=Surprisal()), Tap("resid_post", (card.layers - 1,), reduce=lens))
        program = Program(rows, (Stage(taps, steer.edits),))
        job: Job[Readings] = self.pool.run(program, steer.objects, model=self.offered.model, wait=False)
        return job

    def _told(self, row: "_Read", texts: Sequence[str], names: dict[int, str]) -> Choice:
        start = 0 if self.ask.echo else row.prompt
        tokens = None
        if self.ask.logprobs is not None:
            tokens = [row.token(i, texts, names, self.ask.logprobs) for i in range(start, len(row.ids))]
        text = row.text + row.completion if self.ask.echo else row.completion
        return Choice(text, row.finish or "length", row.prompt, len(row.ids) - row.prompt, tokens)


@dataclass(frozen=True)
class _Read:
    """A row with its two texts: ids [P + N], -log p of each but the first [P + N - 1], the likeliest in its place [P + N - 1, k]."""

    ids: list[int]
    prompt: int
    text: str
    completion: str
    finish: str
    surprisal: Any
    top_ids: Any
    top_logprobs: Any

    @staticmethod
    def of(found: Readings, number: int) -> "_Read":
        info, lens = found.meta.rows[number], found.read(tap=1, row=number)
        prompt, made = info.prompt_length, found.completion_ids(number).tolist()
        ids = [*found.token_ids(number).tolist()[:prompt], *made]
        surprisal = found.read(tap=0, row=number)["surprisal"].reshape(-1)
        best = lens["top_ids"][0], lens["top_logprobs"][0]
        return _Read(ids, prompt, info.prompt, info.completion, info.finish, surprisal, *best)

    def token(self, place: int, texts: Sequence[str], names: dict[int, str], count: int) -> Token:
        """The token in a place, with `count` alternatives."""
        text = texts[place]
        if not place:
            return Token(text, None, None)
        ids, values = self.top_ids[place - 1], self.top_logprobs[place - 1]
        among = np.flatnonzero(ids == self.ids[place])
        # Both are of the same logits; where the token is among the likeliest, its number is theirs to the last digit.
        logprob = float(values[among[0]]) if len(among) else -float(self.surprisal[place - 1])
        top = alternatives([names[int(i)] for i in ids[:count]], [float(v) for v in values[:count]], text, logprob)
        return Token(text, logprob, top if count else None)


def _plain(one: Completion, echo: bool) -> Choice:
    text = one.prompt + one.text if echo else one.text
    return Choice(text, one.finish, one.meta.prompt_length, len(one.completion_ids))


async def _aside(call: Callable[[], _T]) -> _T:
    """The result of a call that waits, without anyone else waiting for it."""
    return await asyncio.get_running_loop().run_in_executor(None, call)
