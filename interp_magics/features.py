"""Calls about features: dictionaries trained on a pool."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from . import building, lessons, training
from .building import UserText
from .client.job import Job
from .corpora import count_texts, listed, read_texts
from .data.activation_store import ActivationStore, read_store
from .data.dictionary import Dictionary
from .data.feature_browser import FeatureBrowser
from .data.feature_table import FeatureTable, merge
from .data.latents import LatentActivations
from .errors import RequestError, one_of
from .estimate import Estimate
from .methods.evaluate.request import EvaluateRequest
from .methods.features.request import FeaturesRequest
from .methods.program.request import ProgramRequest
from .methods.search.request import OVERS, SearchRequest
from .methods.train.plan import NONE, addresses, cost, validate, width
from .methods.train.request import TrainRequest
from .program.dictionaries import TRAINED, Recipe
from .program.language import Ids, Latents, Program, Row, Stage, Tap
from .program.latents import Kept
from .program.layers import parse_layers
from .program.numbers import integer
from .program.operations import StoredDictionary
from .program.sites import parse_site
from .program.supports import check_site
from .progress import Progress
from .streaming import Meter, UnderWay, in_slices
from .studies import StudyCalls
from .wire.frames import MAX_CLIENT_HEADER

_SLICE_TOKENS = 32_768
#: So many parts of a table are held before they are made one.
_MERGED = 8


class FeatureCalls(StudyCalls):
    """What one asks of a pool about the features of a model."""

    def train_sae(
        self,
        texts: str | Path | ActivationStore | Iterable[UserText],
        layer: int,
        site: str = "resid_post",
        architecture: str = "batch_topk",
        expansion: float = 8,
        k: int = 32,
        tokens: int = 1_000_000,
        seed: int = 0,
        *,
        latents: int | None = None,
        path: str | Path | None = None,
        model: str | None = None,
        share: float = 1.0,
        context: int = 0,
        **recipe: Any,
    ) -> Dictionary:
        """A sparse autoencoder of one layer's activations, trained on the pool's workers while the corpus goes through.

        `texts` as in `capture_corpus`; a list or a file is read again and again until there have been so many `tokens`. What
        `capture_corpus` has written (an ActivationStore, or its directory) is learned from without a pass of the model. It has
        `expansion` times as many latents as the site is wide, unless `latents` says how many. Other fields of a Recipe are
        given by name (`sparsity=` for "relu", "jumprelu" and "gated"; `site_out=` makes a transcoder). With `path` the
        state is written there now and then, and the same call goes on from it. `sae.history` says how it went. Raises
        RequestError before anything runs.
        """
        given: dict[str, Any] = {"latents": latents, "model": model, **recipe}
        made = self.recipe(layer, site, architecture, expansion, k, tokens, seed, **given)
        return self.train_saes(texts, [made], path=path, model=model, share=share, context=context)[0]

    def recipe(
        self,
        layer: int,
        site: str = "resid_post",
        architecture: str = "batch_topk",
        expansion: float = 8,
        k: int = 32,
        tokens: int = 1_000_000,
        seed: int = 0,
        *,
        latents: int | None = None,
        model: str | None = None,
        **recipe: Any,
    ) -> Recipe:
        """The Recipe of a dictionary for a site of a model, as `train_sae` makes it. Raises RequestError."""
        card = self.card(self.model if model is None else model)
        where = parse_site(site)[0]
        check_site(where, card)
        (chosen,) = parse_layers(integer("layer", layer), card.layers)
        count = round(expansion * width(card, where)) if latents is None else integer("latents", latents)
        kind = one_of("architecture", architecture, TRAINED)
        return Recipe(
            latents=count,
            architecture=kind,
            k=k,
            site=where,
            layer=chosen,
            tokens=tokens,
            seed=seed,
            **recipe,
        )

    def estimate_training(
        self, recipes: Sequence[Recipe], *, model: str | None = None, share: float = 1.0, context: int = 0
    ) -> Estimate:
        """What training them on one stream would cost, the passes of the model included, as if each learned from as many tokens as the
        one that wants most. Raises RequestError for whatever can be told to be wrong."""
        name = self.model if model is None else model
        card = self.card(name)
        asked = msgspec.structs.replace(training.asked_for(recipes, share, context), finish=True, training=NONE)
        validate(asked, card)
        length = min(context or card.context, card.context)
        passes = math.ceil(max(recipe.tokens for recipe in recipes) / share / length)
        return self._estimated("training", name, 0, cost(asked, card, [length] * passes))

    def evaluate_sae(self, sae: Dictionary, texts: UserText | Sequence[UserText], context: int = 0, **call: Any) -> Any:
        """What a dictionary is worth on texts (those of a file by its Path): a SAEEvaluation, or a Job with `wait=False`.

        How well it stands for the activations, and what becomes of the model's predictions when it replaces them, and when 0 or
        its bias does.
        Texts longer than `context` tokens (0: the model's) run in pieces; special tokens are left as they are. Raises
        RequestError.
        """
        form, stored = sae.stored
        self._check_vectors([stored], call.get("model"))
        request = EvaluateRequest(building.texts(listed(texts)).texts, form, sae.site, sae.layer, sae.site_out, context)
        return self._run(request, False, {stored.digest: stored.data}, **call)

    def features(
        self,
        sae: Dictionary | str,
        texts: str | Path | Iterable[UserText],
        layer: int = 0,
        *,
        kept: Kept | None = None,
        context: int = 0,
        model: str | None = None,
        slice_tokens: int = _SLICE_TOKENS,
    ) -> FeatureTable:
        """Where, how strongly and on what every latent of a dictionary is active, from one pass over a corpus: a FeatureTable.

        `sae` is a Dictionary, or the name of a site whose neurons are read at `layer` ("mlp_act"). `texts` as in
        `capture_corpus`. `kept` says how many examples and tokens of each latent are kept. Raises RequestError.
        """
        name = self.model if model is None else model
        form, objects, site, where = self._latents_of(sae, layer, name)
        given = read_texts(texts) if isinstance(texts, str | Path) else texts
        out = sae.site_out if isinstance(sae, Dictionary) else None
        asked = FeaturesRequest((), site, where, form, out, kept or Kept(), context)
        requests = (
            msgspec.structs.replace(asked, texts=some, first=first)
            for first, some in in_slices(building.each(given), slice_tokens)
        )
        with Progress() as line:
            meter = Meter(self.show_progress or line.show, count_texts(texts))
            parts = list(_merged(self._each(requests, name, objects, meter)))
        if not parts:
            raise RequestError("the corpus has no text")
        return merge(parts)

    def latents(
        self, sae: Dictionary, text: UserText | Sequence[UserText], latents: Sequence[int] | None = None, **call: Any
    ) -> Any:
        """What a dictionary's latents are on every token of a text (a list for several): LatentActivations of those that are named,
        or of all. Raises RequestError."""
        form, stored = sae.stored
        self._check_vectors([stored], call.get("model"))
        chosen = building.texts(text)
        named = None if latents is None else tuple(integer("latents", latent) for latent in latents)
        tap = Tap(sae.site, (sae.layer,), reduce=Latents(form, named))
        program = Program(tuple(Row(one) for one in chosen.texts), (Stage((tap,)),))
        found = self._run(ProgramRequest(program), True, {stored.digest: stored.data}, **call)
        numbers = tuple(range(sae.latents)) if named is None else named
        ids = [tuple(int(token) for token in found.token_ids(row)) for row in range(len(chosen.texts))]
        read = self._tokens([Ids(one) for one in ids], call.get("model") or self.model)
        made = [
            LatentActivations(told.tokens, one, numbers, found.read(row=row)["values"][0])
            for row, (told, one) in enumerate(zip(read, ids, strict=True))
        ]
        return made if chosen.many else made[0]

    def browse(
        self,
        table: FeatureTable,
        sae: Dictionary | None = None,
        prompt: UserText | None = None,
        latent: int | None = None,
        *,
        model: str | None = None,
    ) -> FeatureBrowser:
        """A table to look through, with `latent` open: a FeatureBrowser, which is shown as a widget.

        With the dictionary that the table was read with it has labels and proofs, the strength of every token of an example is
        read as a row is opened, and `prompt` is a text whose own latents are shown token by token. Raises RequestError.
        """
        opened = -1 if latent is None else table[latent].latent
        if sae is None:
            if prompt is not None:
                raise RequestError("the latents of a prompt are read with a dictionary; give sae=")
            return FeatureBrowser(table, opened=opened)
        table.check_of(sae)

        def strengths(texts: Sequence[Sequence[int]], latent: int) -> list[npt.NDArray[np.float64]]:
            return [one.of(latent) for one in self.latents(sae, list(texts), [latent], model=model)]

        read = None if prompt is None else self.latents(sae, prompt, model=model)
        return FeatureBrowser(table, sae, read, strengths, opened)

    def search_features(
        self,
        sae: Dictionary | str,
        positive: Sequence[UserText],
        negative: Sequence[UserText],
        layer: int = 0,
        over: str = "max",
        **call: Any,
    ) -> Any:
        """The latents of a dictionary (or neurons of a site at `layer`) that tell two sets of texts apart: a FeatureSearch, or a Job.

        Each text counts once, by its largest activation (`over="max"`), its mean or its last. Raises RequestError.
        """
        given = [listed(side) for side in (positive, negative)]
        sides = [building.texts(side).texts if len(side) else () for side in given]
        form, objects, site, where = self._latents_of(sae, layer, call.get("model"))
        chosen = one_of("over", over, OVERS)
        request = SearchRequest((*sides[0], *sides[1]), len(sides[0]), site, where, form, chosen)
        return self._run(request, False, objects, **call)

    def _latents_of(
        self, sae: Dictionary | str, layer: int, model: str | None
    ) -> tuple[StoredDictionary | None, dict[str, bytes], str, int]:
        """How a request names a dictionary, or the neurons of a site: the form, what a pool must have, site and layer."""
        if isinstance(sae, Dictionary):
            form, stored = sae.stored
            self._check_vectors([stored], model)
            return form, {stored.digest: stored.data}, sae.site, sae.layer
        card = self.card(model)
        site = parse_site(sae)[0]
        check_site(site, card)
        (where,) = parse_layers(integer("layer", layer), card.layers)
        return None, {}, site, where

    def _each(
        self, requests: Iterator[FeaturesRequest], model: str, objects: dict[str, bytes], meter: Meter
    ) -> Iterator[FeatureTable]:
        """The results of many requests in order, as many under way as keep all groups busy."""
        most = self._ahead(model)
        with UnderWay[FeaturesRequest](self._connection.release, meter.tell) as under_way:
            for request in requests:
                under_way.add(request, self._submit(request, model, objects, "batch", True))
                if len(under_way) == most:
                    yield _counted(under_way, meter)
            while under_way:
                yield _counted(under_way, meter)

    def train_saes(
        self,
        texts: str | Path | ActivationStore | Iterable[UserText],
        recipes: Sequence[Recipe],
        *,
        path: str | Path | None = None,
        model: str | None = None,
        share: float = 1.0,
        context: int = 0,
        slice_tokens: int = _SLICE_TOKENS,
    ) -> list[Dictionary]:
        """Many dictionaries on one stream of activations: layers, sites, architectures, widths and sparsities at once.

        The corpus passes through the model once for all of them, in slices of about `slice_tokens`, between which others'
        work runs. Of its positions a `share` is taken, of texts longer than `context` tokens (0: the model's) pieces. Captured
        activations, as in `train_sae`, must be of this model and have all sites and layers that are asked for.
        """
        name = self.model if model is None else model
        card = self.card(name)
        asked = training.asked_for(recipes, share, context)
        seed = recipes[0].seed if recipes else 0
        key = training.key_of(asked, card.digest, slice_tokens, seed)
        validate(msgspec.structs.replace(asked, finish=True, training=NONE), card)
        store = _store(texts)
        if store is None:
            wanted = lessons.from_texts(texts, building.each, slice_tokens, seed)
        else:
            lessons.check_store(store, addresses(asked), card)
            most = self.limits.message_bytes - MAX_CLIENT_HEADER
            wanted = lessons.from_store(store, addresses(asked), slice_tokens, most, share, seed)
            asked = msgspec.structs.replace(asked, share=1.0)

        def submit(request: TrainRequest, objects: dict[str, bytes]) -> Job[Any]:
            return self._submit(request, name, objects, "batch", True)

        with Progress() as line:
            show = self.show_progress or line.show
            directory = None if path is None else Path(path).expanduser()
            connection = self._connection
            course = training.Training(asked, submit, connection.release, connection.drop, show, directory, key)
            return course.run(wanted)


def _store(texts: object) -> ActivationStore | None:
    """What was captured before, if that is what texts are."""
    if isinstance(texts, str | Path) and Path(texts).expanduser().is_dir():
        return read_store(texts)
    return texts if isinstance(texts, ActivationStore) else None


def _counted(under_way: UnderWay[FeaturesRequest], meter: Meter) -> FeatureTable:
    request, made = under_way.take()
    meter.done += len(request.texts)
    meter.made = meter.done
    table: FeatureTable = made
    return table


def _merged(parts: Iterable[FeatureTable]) -> Iterator[FeatureTable]:
    """The parts, some at a time as one, so that not all of them are held."""
    waiting: list[FeatureTable] = []
    for part in parts:
        waiting.append(part)
        if len(waiting) == _MERGED:
            waiting = [merge(waiting)]
    yield from waiting
