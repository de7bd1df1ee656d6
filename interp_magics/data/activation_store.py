"""Activations of a corpus in a directory: shards of consecutive texts as safetensors files, and an index.

The index is written anew after every shard, so that a capture that was interrupted goes on where it was.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..errors import RequestError
from . import files
from .activations import Activations, decode

INDEX = "index.json"


class ShardEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A shard that is there: its file, the digest of what was asked for it, its first text, how many texts and tokens."""

    file: str
    digest: str
    first: int
    texts: int
    tokens: int
    nbytes: int


class StoreIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a store holds. `model` and `checkpoint` say of which model, `layers` of each site which, `asked` (a digest) with
    which options; `complete` that the corpus ended. `earlier` are shards of an earlier run that this one has not reached."""

    model: str
    checkpoint: str
    layers: dict[str, tuple[int, ...]]
    asked: str
    shards: tuple[ShardEntry, ...] = ()
    earlier: tuple[ShardEntry, ...] = ()
    complete: bool = False


@dataclass(frozen=True)
class ActivationStore:
    """A directory of activations. Iterating gives the shards, each as Activations mapped from its file."""

    path: Path
    index: StoreIndex

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(self.index.layers)

    @property
    def texts(self) -> int:
        return sum(shard.texts for shard in self.index.shards)

    @property
    def tokens(self) -> int:
        """Positions that were captured."""
        return sum(shard.tokens for shard in self.index.shards)

    @property
    def nbytes(self) -> int:
        return sum(shard.nbytes for shard in self.index.shards)

    def __len__(self) -> int:
        return len(self.index.shards)

    def __getitem__(self, number: int) -> Activations:
        if not -len(self) <= number < len(self):
            raise IndexError(f"the store has {len(self)} shards, so there is no shard {number}")
        return decode(*files.read(self.path / self.index.shards[number].file))

    def __iter__(self) -> Iterator[Activations]:
        return (self[number] for number in range(len(self)))

    def text(self, number: int) -> tuple[Activations, int]:
        """The shard that holds text `number` of the corpus, and its row there."""
        for place, shard in enumerate(self.index.shards):
            if shard.first <= number < shard.first + shard.texts:
                return self[place], number - shard.first
        raise RequestError(f"the store has {self.texts} texts, so there is no text {number}")

    def __repr__(self) -> str:
        sites = ", ".join(f"{site}[{len(layers)}]" for site, layers in self.index.layers.items())
        state = "" if self.index.complete else ", not complete"
        return (
            f"ActivationStore({str(self.path)!r}, {self.texts} texts, {self.tokens} tokens, {sites}, "
            f"{self.nbytes / 1e6:.1f} MB in {len(self)} shards{state})"
        )


def read_store(path: str | Path) -> ActivationStore:
    """Open a store. Raises RequestError when the directory holds none."""
    directory = Path(path).expanduser()
    try:
        index = msgspec.json.decode((directory / INDEX).read_bytes(), type=StoreIndex)
    except FileNotFoundError:
        raise RequestError(f"{directory} holds no activations: there is no {INDEX} in it") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise RequestError(f"{directory / INDEX} is not the index of activations: {error}") from None
    return ActivationStore(directory, index)


def write_index(path: Path, index: StoreIndex) -> None:
    """Replace the index of a store."""
    text = json.dumps(msgspec.to_builtins(index), indent=1)
    files.write(path / INDEX, text.encode() + b"\n")
