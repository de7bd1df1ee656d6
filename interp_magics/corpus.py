"""A corpus through a pool, shard by shard, into a directory of its own."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from .client.job import Job, Progress
from .data.activation_store import ActivationStore, ShardEntry, StoreIndex, read_store, write_index
from .data.activations import Activations
from .errors import RequestError
from .methods.capture.request import CaptureRequest
from .methods.plans import captured, cost
from .program.cards import ModelCard
from .program.language import Ids, Text
from .streaming import Meter, UnderWay, in_slices

_SHARD_FILES = "[0-9]" * 5 + "-" + "[0-9a-f]" * 16 + ".safetensors"


@dataclass(frozen=True)
class Shard:
    """Consecutive texts of a corpus: the request for them, and the digest by which a finished shard is known again."""

    number: int
    first: int
    request: CaptureRequest
    digest: str

    @property
    def file(self) -> str:
        return f"{self.number:05d}-{self.digest[:16]}.safetensors"


def shards(texts: Iterable[Text], request: CaptureRequest, card: ModelCard, tokens: int) -> Iterator[Shard]:
    """The corpus in shards of about so many tokens, each as `request` with its texts."""
    for number, (first, some) in enumerate(in_slices(texts, tokens)):
        yield _shard(number, first, some, request, card)


def _shard(number: int, first: int, texts: tuple[Text, ...], request: CaptureRequest, card: ModelCard) -> Shard:
    asked = msgspec.structs.replace(request, texts=texts)
    return Shard(number, first, asked, sha256(card.digest.encode() + msgspec.json.encode(asked)).hexdigest())


class Writer:
    """Asks for the shards of a corpus that are not there yet, a few at a time, and writes them as they come."""

    def __init__(
        self,
        path: Path,
        index: StoreIndex,
        submit: Callable[[CaptureRequest], Job[Activations]],
        release: Callable[[str], None],
        show: Callable[[Progress], Any] | None,
        total: int,
    ) -> None:
        self._path, self._submit = path, submit
        self._meter = Meter(show, total)
        self._under_way: UnderWay[Shard] = UnderWay(release, self._meter.tell)
        there = [shard for shard in (*index.shards, *index.earlier) if (path / shard.file).is_file()]
        self._there = {shard.digest: shard for shard in there}
        self._index = msgspec.structs.replace(index, shards=(), earlier=tuple(self._there.values()), complete=False)

    def run(self, wanted: Iterable[Shard], ahead: int) -> ActivationStore:
        """Go through the corpus. Whatever interrupts it, the shards that were finished stay, and no job is left behind."""
        with self._under_way:
            for shard in wanted:
                if known := self._there.get(shard.digest):
                    self._drain(0)
                    self._enter(msgspec.structs.replace(known, first=shard.first))
                    continue
                self._under_way.add(shard, self._submit(shard.request))
                self._drain(ahead - 1)
            self._drain(0)
        self._index = msgspec.structs.replace(self._index, earlier=(), complete=True)
        write_index(self._path, self._index)
        self._tidy()
        return ActivationStore(self._path, self._index)

    def _drain(self, left: int) -> None:
        """Wait for the oldest shards until no more than `left` are under way."""
        while len(self._under_way) > left:
            shard, made = self._under_way.take()
            made.save(self._path / shard.file)
            self._meter.made += len(made.meta.rows)
            tokens = sum(len(row.positions) for row in made.rows)
            self._enter(ShardEntry(shard.file, shard.digest, shard.first, len(made.meta.rows), tokens, made.nbytes))
            self._meter.tell()

    def _enter(self, entry: ShardEntry) -> None:
        earlier = tuple(shard for shard in self._index.earlier if shard.digest != entry.digest)
        self._index = msgspec.structs.replace(self._index, shards=(*self._index.shards, entry), earlier=earlier)
        self._meter.done = sum(shard.texts for shard in self._index.shards)
        write_index(self._path, self._index)

    def _tidy(self) -> None:
        """Remove shards of other texts that an earlier run left."""
        listed = {shard.file for shard in self._index.shards}
        for file in self._path.glob(_SHARD_FILES):
            if file.name not in listed:
                file.unlink()


def fitting(tokens: int, request: CaptureRequest, card: ModelCard, result_bytes: int, shards_ahead: int) -> int:
    """How many tokens a shard may have, so that those under way stay well within what the pool keeps for a user."""
    each = cost(msgspec.structs.replace(request, texts=(Ids((0,)),)), card, [1]).result_bytes
    return max(1, min(tokens, result_bytes // (2 * shards_ahead * max(1, each))))


def open_index(path: Path, card: ModelCard, request: CaptureRequest) -> StoreIndex:
    """The index of a store that is to be filled. Raises RequestError when it holds something else."""
    asked = sha256(msgspec.json.encode(msgspec.structs.replace(request, texts=()))).hexdigest()
    fresh = StoreIndex(card.name, card.digest, captured(request, card), asked)
    path.mkdir(parents=True, exist_ok=True)
    if all(file.name.startswith(".") for file in path.iterdir()):
        write_index(path, fresh)
        return fresh
    found = read_store(path).index
    if (found.checkpoint, found.layers) != (fresh.checkpoint, fresh.layers):
        raise RequestError(
            f"{path} holds activations of {found.model} ({found.checkpoint[:12]}) at {_described(found)}, not of {card.name} "
            f"({card.digest[:12]}) at {_described(fresh)}; choose another directory"
        )
    if found.asked != fresh.asked:
        raise RequestError(
            f"{path} holds activations that were captured with other positions, another dtype or other steering; choose "
            "another directory"
        )
    return found


def _described(index: StoreIndex) -> str:
    return ", ".join(f"{site}{list(layers)}" for site, layers in index.layers.items())
