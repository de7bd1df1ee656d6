"""The key-value cache of a run: transformers' own, with room to grow.

`DynamicLayer` concatenates, which copies every key and value of the past at every step. Here a step writes its own tokens
into buffers that have room, and the past is copied only when they are full.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

_LEAST_ROOM = 64


class GrowingLayer(DynamicLayer):
    """Keys and values [rows, heads, tokens, width] as views of buffers with room for a quarter more tokens."""

    def __init__(self) -> None:
        super().__init__()
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append the newest tokens; all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
            return self.keys, self.values
        length = self.keys.shape[-2]
        total = length + key_states.shape[-2]
        if self._buffers is None or self._buffers[0].shape[-2] < total:
            self._buffers = _with_room(self.keys, None, total), _with_room(self.values, None, total)
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, length:total] = new
        self.keys, self.values = (buffer[:, :, :total] for buffer in self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Go on with these rows alone; one may be named several times."""
        if not self.is_initialized:
            return
        length = self.keys.shape[-2]
        self._buffers = _with_room(self.keys, indices, length), _with_room(self.values, indices, length)
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)


def new_cache(config: Any) -> DynamicCache:
    """An empty cache for a model; layers that see a window, or keep something else, are transformers' own."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _with_room(part: Tensor, rows: Tensor | None, total: int) -> Tensor:
    """A copy, of some rows if they are named, with room for more than `total` tokens."""
    count, heads, length, width = part.shape
    room = total + max(_LEAST_ROOM, total // 4)
    buffer = part.new_empty(count if rows is None else len(rows), heads, room, width)
    if rows is None:
        buffer[:, :, :length] = part
    else:
        torch.index_select(part, 0, rows, out=buffer[:, :, :length])
    return buffer
