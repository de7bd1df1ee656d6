"""How a pool is asked: a request is checked, sent with the objects that it names, and waited for."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_args

from . import building
from .attached import Attached, unpack
from .building import Steering
from .client.connection import Connection
from .client.job import Job
from .client.waiting import wait as wait_for
from .data import live
from .data.tokenized import Tokenized
from .data.vector_edits import Storable
from .errors import RequestError, nearest, one_of
from .estimate import Estimate
from .methods import plans
from .methods.cost import Cost
from .methods.lens.request import LensRequest
from .methods.requests import Request
from .methods.tokenize.request import TokenizeRequest
from .program.cards import ModelCard
from .program.language import digests
from .program.layers import LayerSpec
from .streaming import ahead
from .wire.standing import Priority

_OBJECTS = 256
_CALL = ("model", "priority", "timeout", "wait")
PRIORITIES = get_args(Priority)


class Asking(Attached):
    """A connection through which requests are made. A call that is one job takes `model=`, `priority=` ("interactive" or
    "batch"), `timeout=` in seconds, and `wait=False` for a Job; one of several jobs takes `model=`, and waits."""

    def __init__(
        self, connection: Connection, close: Callable[[], None] = lambda: None, model: str | None = None
    ) -> None:
        super().__init__(connection, close, model)
        self._objects: dict[str, bytes] = {}

    def _estimated(self, method: str, name: str, texts: int, cost: Cost) -> Estimate:
        state = self._connection.state()
        before = next((m.queued for m in state.models if m.name == name), 0)
        seconds = cost.seconds(self.card(name))
        return Estimate(method, name, texts, cost.tokens, seconds, cost.result_bytes, cost.held_bytes, before)

    def _card_for(self, layers: LayerSpec, model: str | None) -> ModelCard | None:
        """The card if it is known already, or must be because layers are named."""
        name = self.model if model is None else model
        return self._cards.get(name) if layers is None else self.card(name)

    def _steering(self, given: object, model: str | None) -> Steering:
        """What `steer=` names. Raises RequestError for a vector of another checkpoint."""
        made = building.steering(given)
        self._check_vectors(made.vectors, model)
        return made

    def _check_vectors(self, vectors: Iterable[Storable], model: str | None) -> None:
        for vector in vectors:
            card = self.card(model) if vector.checkpoint else None
            if card is not None and card.digest != vector.checkpoint:
                made_on = vector.made_from.get("model") or "another model"
                raise RequestError(
                    f"the vector or dictionary {vector.name or 'unnamed'!r} was made on {made_on} ({vector.checkpoint[:12]}), not on "
                    f"{card.name} ({card.digest[:12]}); fit it anew, or use its forced() if you know that it fits"
                )

    def _tokens(self, given: Sequence[Any], model: str) -> list[Tokenized]:
        job = self._submit(TokenizeRequest(tuple(given)), model, {}, "interactive", True)
        made: list[Tokenized] = job.result()
        return made

    def _run(
        self,
        request: Request,
        many: bool,
        objects: dict[str, bytes],
        *,
        send: bool = True,
        model: str | None = None,
        priority: Priority = "interactive",
        timeout: float | None = None,
        wait: bool = True,
        **unknown: Any,
    ) -> Any:
        if unknown:
            name = next(iter(unknown))
            raise TypeError(f"unknown argument {name!r}{nearest(name, self._arguments(plans.method(request)))}")
        one_of("priority", priority, PRIORITIES)
        if not send:
            return request
        if timeout is not None and not wait:
            raise RequestError("timeout= bounds the wait of a call; with wait=False give it to job.result(timeout)")
        job = self._submit(request, self.model if model is None else model, objects, priority, many)
        return self._wait(job, timeout) if wait else job

    def _ahead(self, model: str) -> int:
        """How many requests to have under way, so that all groups of a model are busy."""
        return ahead(next(info.workers for info in self.status().state.models if info.name == model))

    def _wait(self, job: Job[Any], timeout: float | None = None) -> Any:
        return wait_for(job, timeout, self.show_progress)

    def _submit(
        self, request: Request, model: str, objects: dict[str, bytes], priority: Priority, many: bool
    ) -> Job[Any]:
        card = self._cards.get(model)
        if card:
            plans.validate(request, card)
        needed = {digest: objects[digest] for digest in digests(request) if digest in objects}
        self._remember(needed)

        def built(parts: list[Any]) -> Any:
            made = unpack(parts, many)
            if isinstance(request, LensRequest):
                live.came_by(made if many else [made], self)
            return made

        return self._connection.submit(model, request, plans.method(request), built, needed, priority)

    def _remember(self, objects: dict[str, bytes]) -> None:
        """Keep the vectors used last, so that a follow-up can bring them again."""
        for digest, data in objects.items():
            self._objects.pop(digest, None)
            self._objects[digest] = data
        while len(self._objects) > _OBJECTS:
            del self._objects[next(iter(self._objects))]

    def _arguments(self, method: str) -> tuple[str, ...]:
        """What the call of a method takes."""
        call = getattr(self, _CALLS.get(method, method), self._run)
        return tuple(n for n in inspect.signature(call).parameters if n not in ("self", "call")) + _CALL


#: Calls that have another name than their method.
_CALLS = {
    "program": "run",
    "vector": "steering_vector",
    "comparison": "compare_steering",
    "evaluate": "evaluate_sae",
    "search": "search_features",
}
