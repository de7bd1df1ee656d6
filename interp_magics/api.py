"""The calls that a notebook makes. A magic parses, then makes one of these."""

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from . import building, corpus, following
from .attributing import AttributionCalls
from .building import Steering, Texts, UserText
from .client.job import Job
from .corpora import count_texts, read_texts
from .data.activation_store import ActivationStore
from .errors import RequestError, one_of
from .estimate import Estimate
from .following import Origin, Readable
from .methods import plans
from .methods.program.request import ProgramRequest
from .methods.requests import Request
from .program.cards import ModelCard
from .program.language import Positions, Program, digests
from .program.layers import LayerSpec
from .progress import Progress


class Pool(AttributionCalls):
    """A connection to a pool of models, and what can be asked of it.

    A call that is one job takes `model=`, `priority=` ("interactive" or "batch"), `timeout=` in seconds, and `wait=False` for a Job;
    one of several jobs takes `model=`, and waits.
    A text is a string (the tokenizer's special tokens are added), chat messages (the model's template), or token ids; a
    list of texts gives a list of results in the same order.
    """

    # What one asks of it

    def request(self, method: str, *arguments: Any, **options: Any) -> Request:
        """The request that the call of that name would send, for `estimate`."""
        known = ("lens", "capture", "generate", "steering_vector", "steerability", "side_effects", "compare_steering")
        made: Request = getattr(self, one_of("method", method, known))(*arguments, **options, send=False)
        return made

    def estimate(self, request: Request, model: str | None = None) -> Estimate:
        """What a request would cost, without running it. Raises RequestError for whatever can be told to be wrong."""
        name = model or self.model
        card = self.card(name)
        plans.validate(request, card)
        counted = [len(t) for t in self._tokens(plans.texts(request), name)]
        cost = plans.cost(request, card, counted)
        plans.check_size(cost, self.limits.result_bytes)
        return self._estimated(plans.method(request), name, len(counted), cost)

    def tokenize(self, text: Any, model: str | None = None) -> Any:
        """Token ids of a text and how each reads."""
        chosen = building.texts(text)
        made = self._tokens(chosen.texts, model or self.model)
        return made if chosen.many else made[0]

    def lens(
        self,
        text: UserText | Sequence[UserText],
        kind: str = "logit",
        top_k: int = 5,
        layers: LayerSpec = None,
        sites: str | Sequence[str] = "resid_post",
        positions: str | int | Sequence[int] | Positions = "all",
        track: str | int | Sequence[str | int] = (),
        generate: int = 0,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        steer: object = (),
        keep: int = 0,
        stream: bool = False,
        **call: Any,
    ) -> Any:
        """What the model was about to say at every layer and position.

        Returns a LensRun (a list for several texts), or a Job with `wait=False`. `track` names tokens, as ids or texts that
        are one token each, whose log-probability and rank are given everywhere. `generate` continues the text by so many
        tokens; `steer` takes vectors and edits. `keep` seconds long the worker holds what it read, so that `decode` and
        `values` of the run need no new pass. With `stream` the job's `progress.partial` grows with what is decoded. Raises
        RequestError before anything runs.
        """
        chosen, steering = building.texts(text), self._steering(steer, call.get("model"))
        request = building.lens(
            chosen,
            self._card_for(layers, call.get("model")),
            steering,
            kind=kind,
            top_k=top_k,
            layers_=layers,
            sites_=sites,
            positions_=positions,
            track=track,
            sampled=building.sampling(generate, temperature, top_p, stop, seed),
            keep=keep,
            stream=stream,
        )
        return self._run(request, chosen.many, steering.objects, **call)

    def capture(
        self,
        texts: UserText | Sequence[UserText],
        layers: LayerSpec = None,
        sites: str | Sequence[str] = "resid_post",
        positions: str | int | Sequence[int] | Positions = "all",
        generate: int = 0,
        dtype: str | None = None,
        reduce: str | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        steer: object = (),
        keep: int = 0,
        **call: Any,
    ) -> Any:
        """The values at `sites` and `layers` of every text, in one pass: Activations, or a Job with `wait=False`.

        `dtype` None keeps the model's own; `reduce="moments"` gives mean, variance and mean norm over positions instead;
        `keep` as in `lens`.
        """
        chosen, steering = building.texts(texts), self._steering(steer, call.get("model"))
        request = building.capture(
            chosen,
            self._card_for(layers, call.get("model")),
            steering,
            layers_=layers,
            sites_=sites,
            positions_=positions,
            sampled=building.sampling(generate, temperature, top_p, stop, seed),
            dtype=dtype,
            reduce=reduce,
            keep=keep,
        )
        return self._run(request, True, steering.objects, **call)

    def capture_corpus(
        self,
        texts: str | Path | Iterable[UserText],
        path: str | Path,
        layers: LayerSpec = None,
        sites: str | Sequence[str] = "resid_post",
        positions: str | int | Sequence[int] | Positions = "all",
        dtype: str | None = "bfloat16",
        steer: object = (),
        shard_tokens: int = 16384,
        model: str | None = None,
    ) -> ActivationStore:
        """The values of a whole corpus, written to the directory `path` in shards of about `shard_tokens` tokens.

        `texts` is a .txt file (a text on each line), a .jsonl file (field "text"), or any iterable of texts, which is read as
        it is needed. Shards run on all groups that hold the model, behind interactive work. The same call again goes on
        where an earlier one was interrupted: shards that are there are not asked for again. Raises RequestError.
        """
        name = self.model if model is None else model
        card, steering = self.card(name), self._steering(steer, name)
        given = read_texts(texts) if isinstance(texts, str | Path) else texts
        asked = building.capture(
            Texts((), True),
            card,
            steering,
            layers_=layers,
            sites_=sites,
            positions_=positions,
            sampled=None,
            dtype=dtype,
            reduce=None,
            keep=0,
        )
        under_way = self._ahead(name)
        tokens = corpus.fitting(shard_tokens, asked, card, self.limits.result_bytes, under_way)
        wanted = corpus.shards(building.each(given), asked, card, tokens)
        first = next(wanted, None)
        if first is None:
            raise RequestError("the corpus has no text")
        plans.validate(first.request, card)
        store = Path(path).expanduser()
        index = corpus.open_index(store, card, asked)

        def submit(request: Request) -> Job[Any]:
            return self._submit(request, name, steering.objects, "batch", True)

        total = count_texts(texts)
        with Progress() as line:
            show = self.show_progress or line.show
            writer = corpus.Writer(store, index, submit, self._connection.release, show, total)
            return writer.run(chain([first], wanted), under_way)

    def decode(
        self,
        source: Readable,
        row: int = 0,
        *,
        kind: str = "logit",
        top_k: int = 5,
        layers: LayerSpec = None,
        sites: str | Sequence[str] | None = None,
        positions: str | int | Sequence[int] | Positions | None = None,
        track: str | int | Sequence[str | int] = (),
        keep: int = 0,
        **call: Any,
    ) -> Any:
        """A lens on what an earlier result read: a LensRun, row `row` of Activations, or a Completion.

        Rows that a worker still holds (`keep=` of the earlier call) are decoded without a pass; else the same tokens are
        fed again under the same edits. `provenance.kept` of the LensRun that it returns says which. Sites, layers and
        positions are the earlier ones unless given.
        """
        told = following.origin(source, row)
        card = self._card_of(told, call.setdefault("model", told.model))
        request = building.lens(
            Texts((told.text,), False),
            card,
            Steering(told.edits, {}),
            kind=kind,
            top_k=top_k,
            layers_=told.layers if layers is None else layers,
            sites_=told.sites if sites is None else sites,
            positions_=told.positions if positions is None else positions,
            track=track,
            sampled=told.sampling,
            keep=keep,
            kept=told.handle,
        )
        return self._run(request, False, self._objects, **call)

    def values(
        self,
        source: Readable,
        row: int = 0,
        *,
        layers: LayerSpec = None,
        sites: str | Sequence[str] | None = None,
        positions: str | int | Sequence[int] | Positions | None = None,
        dtype: str | None = None,
        keep: int = 0,
        **call: Any,
    ) -> Any:
        """The exact values behind an earlier result, as Activations of one row; found as `decode` finds them."""
        told = following.origin(source, row)
        card = self._card_of(told, call.setdefault("model", told.model))
        request = building.capture(
            Texts((told.text,), True),
            card,
            Steering(told.edits, {}),
            layers_=told.layers if layers is None else layers,
            sites_=told.sites if sites is None else sites,
            positions_=told.positions if positions is None else positions,
            sampled=told.sampling,
            dtype=dtype,
            keep=keep,
            kept=told.handle,
        )
        return self._run(request, True, self._objects, **call)

    def generate(
        self,
        prompts: UserText | Sequence[UserText],
        max_new_tokens: int = 40,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        steer: object = (),
        **call: Any,
    ) -> Any:
        """Completions: a Completion (a list for several prompts), or a Job with `wait=False`. Temperature 0 is greedy."""
        chosen, steering = building.texts(prompts), self._steering(steer, call.get("model"))
        sampled = building.sampling(max_new_tokens, temperature, top_p, stop, seed)
        return self._run(building.generate(chosen, steering, sampled), chosen.many, steering.objects, **call)

    def run(self, program: Program, objects: dict[str, bytes] | None = None, **call: Any) -> Any:
        """A program written by hand: Readings, or a Job with `wait=False`. `objects` are stored vectors by digest."""
        if not isinstance(program, Program):
            raise RequestError(f"run takes a Program, not {type(program).__name__}")
        missing = digests(program) - set(objects or {})
        if missing:
            raise RequestError(f"the program names object {min(missing)}, which it does not bring; give objects=")
        return self._run(ProgramRequest(program), True, objects or {}, **call)

    def _card_of(self, told: Origin, model: str) -> ModelCard:
        """The card of the model that an earlier result is read again on. Raises RequestError for another checkpoint."""
        card = self.card(model)
        if card.digest != told.digest:
            raise RequestError(
                f"this result was made with another checkpoint ({told.digest[:12]}) than {model} is now "
                f"({card.digest[:12]}), so it cannot be read again; make the call anew"
            )
        return card
