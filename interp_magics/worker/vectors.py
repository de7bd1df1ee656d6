"""Stored objects as tensors, cached by digest: they never change."""

from collections import OrderedDict
from collections.abc import Callable

import ml_dtypes
import numpy as np
import torch
from torch import Tensor

from ..data import files
from ..errors import RequestError, nearest

_CACHED_BYTES = 256 << 20


class VectorCache:
    """The objects used last, up to a budget."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, dict[str, Tensor]] = OrderedDict()
        self._bytes = 0

    def object(self, digest: str, fetch: Callable[[], bytes]) -> dict[str, Tensor]:
        """Tensors of an object by name; `fetch` gives its bytes when it is not cached."""
        if digest not in self._held:
            self._held[digest] = tensors_in(fetch())
            self._bytes += _size(self._held[digest])
            while self._bytes > _CACHED_BYTES and len(self._held) > 1:
                self._bytes -= _size(self._held.popitem(last=False)[1])
        self._held.move_to_end(digest)
        return self._held[digest]


def tensors_in(data: bytes) -> dict[str, Tensor]:
    """The tensors of a stored object by name."""
    tensors, _ = files.decode(data, "a stored object")
    return {name: _tensor(array) for name, array in tensors.items()}


class JobObjects:
    """The objects of one job, as the engine asks for them."""

    def __init__(self, cache: VectorCache, fetch: Callable[[str], bytes]) -> None:
        self._cache, self._fetch = cache, fetch

    def tensors(self, digest: str) -> dict[str, Tensor]:
        """All tensors of an object."""
        return self._cache.object(digest, lambda: self._fetch(digest))

    def passing(self, digest: str) -> dict[str, Tensor]:
        """All tensors of an object that will not be needed again."""
        return tensors_in(self._fetch(digest))

    def tensor(self, digest: str, name: str) -> Tensor:
        """Raises RequestError when the object has no tensor of that name."""
        tensors = self.tensors(digest)
        if name not in tensors:
            raise RequestError(f"the stored object has no tensor {name!r}{nearest(name, tensors)}")
        return tensors[name]


def _tensor(array: files.Array) -> Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        array = array.astype(np.float32)
    return torch.from_numpy(np.array(array))


def _size(tensors: dict[str, Tensor]) -> int:
    return sum(t.nbytes for t in tensors.values())
