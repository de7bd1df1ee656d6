"""A training through a pool: lessons one after another, each going on from the one before, whatever is lost between."""

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from .client.job import Job, Progress
from .data import files
from .data.dictionary import Dictionary
from .data.sweep import Course, Sweep, asked_of
from .data.training import Reached, TrainingPart
from .errors import RemoteError, RequestError
from .lessons import Lesson
from .methods.train.request import TrainRequest
from .program.operations import Stored
from .streaming import QUIET_SECONDS, UnderWay

_CHECKPOINT_SECONDS = 30.0
#: How often in a row a training is taken up again before it is given up.
_PATIENCE = 5
_FILE = "training.json"


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a directory says of a training: `asked` (a digest of recipes, model and options) and `texts` (one of the first lesson),
    the next `slice`, and how each dictionary did after every slice so far."""

    asked: str
    texts: str
    slice: int
    history: tuple[tuple[Reached, ...], ...]

    @property
    def state(self) -> str:
        """The file of the state after the slices so far: written before this is, so that one of the two is always whole."""
        return f"state-{self.slice:06d}.safetensors"


@dataclass
class Training:
    """Asks for one slice after another and takes up again what a worker has lost. `submit` sends a request with objects,
    which are dropped when it was answered; `path` is where the state is written now and then."""

    asked: TrainRequest
    submit: Callable[[TrainRequest, dict[str, bytes]], Job[Any]]
    release: Callable[[str], None]
    drop: Callable[[str], None]
    show: Callable[[Progress], Any] | None
    path: Path | None
    key: str
    history: list[tuple[Reached, ...]] = field(default_factory=list)
    _texts: str = ""
    _sweep: Sweep | None = None
    _epoch: str = ""
    _state: bytes | None = None
    _since: list[tuple[TrainRequest, Lesson]] = field(default_factory=list)
    _saved: float = field(default_factory=time.monotonic)

    def run(self, lessons: Iterable[Lesson]) -> list[Dictionary]:
        """The dictionaries, once they have had their tokens or the lessons have ended."""
        start = self._open()
        begun = time.monotonic()
        number, part = start, None
        for number, lesson in enumerate(lessons):
            if not number:
                self._know(lesson)
            if number < start:
                continue
            due = time.monotonic() - self._saved > _CHECKPOINT_SECONDS
            part = self._learn(msgspec.structs.replace(self.asked, slice=number, checkpoint=due), lesson, begun)
            self._note(part)
            if part.meta.over:
                return self._dictionaries(part)
        last = msgspec.structs.replace(self.asked, slice=number + 1, finish=True)
        return self._dictionaries(self._learn(last, Lesson(), begun))

    def _learn(self, request: TrainRequest, lesson: Lesson, begun: float) -> TrainingPart:
        """One slice, and before it those that were lost with a worker."""
        self._since.append((request, lesson))
        missing = self._since[-1:] if self._epoch else list(self._since)
        for attempt in range(_PATIENCE + 1):
            try:
                for one in missing:
                    part = self._ask(*one, begun)
                    self._epoch = part.meta.epoch
                return part
            except RemoteError as error:
                if error.code not in ("lost", "worker_lost") or attempt == _PATIENCE:
                    raise
                missing, self._epoch = list(self._since), ""
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, request: TrainRequest, lesson: Lesson, begun: float) -> TrainingPart:
        """Where no worker is known to hold the training, the request brings the last state, if there is one."""
        objects: dict[str, bytes] = {}

        def put(data: bytes, name: str) -> Stored:
            digest = sha256(data).hexdigest()
            objects[digest] = data
            return Stored(digest, name)

        request = msgspec.structs.replace(request, epoch=self._epoch, texts=lesson.texts)
        if lesson.data is not None:
            rows = put(lesson.data(), "ids")
            request = msgspec.structs.replace(request, rows=rows, count=lesson.count)
        if not self._epoch and self._state is not None:
            request = msgspec.structs.replace(request, state=put(self._state, "state"))
        try:
            with UnderWay[None](self.release, lambda: self._tell(begun)) as under_way:
                under_way.add(None, self.submit(request, objects))
                part: TrainingPart = under_way.take()[1]
        finally:
            for digest in objects:
                self.drop(digest)
        return part

    def _note(self, part: TrainingPart) -> None:
        self.history.append(part.meta.reached)
        self._sweep = self._compared()
        state = part.checkpoint()
        if state is None:
            return
        self._state, self._since, self._saved = state, [], time.monotonic()
        if self.path is not None:
            saved = Saved(self.key, self._texts, part.meta.slice + 1, tuple(self.history))
            files.write(self.path / saved.state, state)
            files.write(self.path / _FILE, msgspec.json.encode(saved))
            for file in self.path.glob("state-*.safetensors"):
                if file.name != saved.state:
                    file.unlink()

    def _open(self) -> int:
        """Where to go on: 0, or after what the directory holds. Raises RequestError when that is another training."""
        if self.path is None:
            return 0
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / _FILE).is_file():
            if any(not file.name.startswith(".") for file in self.path.iterdir()):
                raise RequestError(f"{self.path} holds something else than a training; choose another directory")
            return 0
        try:
            saved = msgspec.json.decode((self.path / _FILE).read_bytes(), type=Saved)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise RequestError(f"{self.path / _FILE} is not that of a training: {error}") from None
        if saved.asked != self.key:
            raise RequestError(
                f"{self.path} holds a training with other recipes, another model or other options; choose another directory"
            )
        self._texts = saved.texts
        self._state = (self.path / saved.state).read_bytes()
        self.history = list(saved.history)
        return saved.slice

    def _know(self, lesson: Lesson) -> None:
        """Raises RequestError where the lessons do not begin with the one that the training began with."""
        if self._texts not in ("", known := lesson.key):
            raise RequestError(f"{self.path} holds a training on other texts; choose another directory")
        self._texts = known

    def _dictionaries(self, part: TrainingPart) -> list[Dictionary]:
        told = part.meta.provenance
        made_from = {"model": told.model, "checkpoint": told.digest, "provenance": msgspec.to_builtins(told)}
        made = part.dictionaries(made_from)
        return [self._with_history(one, number) for number, one in enumerate(made)]

    def _with_history(self, made: Dictionary, number: int) -> Dictionary:
        history = [msgspec.to_builtins(reached[number]) for reached in self.history]
        recipe = msgspec.to_builtins(self.asked.recipes[number])
        return replace(made, made_from={**made.made_from, "recipe": recipe, "history": history})

    def _compared(self) -> Sweep:
        courses = tuple(
            Course(
                asked_of(msgspec.to_builtins(recipe)), [msgspec.to_builtins(row[number]) for row in self.history], {}
            )
            for number, recipe in enumerate(self.asked.recipes)
        )
        return Sweep(courses, max(recipe.tokens for recipe in self.asked.recipes), running=True)

    def _tell(self, begun: float) -> None:
        spent = time.monotonic() - begun
        if self.show is None or spent < QUIET_SECONDS:
            return
        last = self.history[-1] if self.history else ()
        done = min((reached.seen for reached in last), default=0)
        total = max(recipe.tokens for recipe in self.asked.recipes)
        error = next((f"FVU {reached.fvu:.3f}" for reached in last if reached.fvu is not None), "")
        self.show(Progress("running", done=done, total=total, text=error, partial=self._sweep))


def asked_for(recipes: Sequence[Any], share: float, context: int) -> TrainRequest:
    """The request of which every slice is a copy."""
    return TrainRequest((), tuple(recipes), secrets.token_hex(16), share=share, context=context)


def key_of(asked: TrainRequest, digest: str, tokens: int, seed: int) -> str:
    """The digest by which the same training is known again."""
    plain = msgspec.json.encode((asked.recipes, asked.share, asked.context, digest, tokens, seed))
    return sha256(plain).hexdigest()
