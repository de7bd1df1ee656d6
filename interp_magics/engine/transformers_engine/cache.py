"""The key-value cache of a run: transformers' own, with room to grow.

`DynamicLayer` concatenates, which copies every key and value of the past at every step. Here a step writes its own tokens
into buffers that have room, and the past is copied only when they are full.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

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

    def join(self, other: "GrowingLayer", lengths: tuple[int, int]) -> None:
        """Take in the rows of another cache; of each, the newest `lengths` tokens."""
        total = max(lengths)
        room = _room(total)
        self._buffers = (
            _aligned(self.keys, other.keys, lengths, total, room),
            _aligned(self.values, other.values, lengths, total, room),
        )
        self.keys, self.values = (buffer[:, :, :total] for buffer in self._buffers)


def joinable(cache: DynamicCache) -> bool:
    """Whether rows can be added to a cache: all of its layers keep keys and values, of every token or of a window."""
    return all(isinstance(layer, GrowingLayer) or type(layer) is DynamicSlidingWindowLayer for layer in cache.layers)


def join(cache: DynamicCache, other: DynamicCache, lengths: tuple[int, int]) -> None:
    """Append the rows of another cache, the newest tokens of all side by side; of each cache the newest `lengths`."""
    for layer, fresh in zip(cache.layers, other.layers, strict=True):
        if not layer.is_initialized:
            continue
        if isinstance(layer, GrowingLayer):
            layer.join(fresh, lengths)
        else:
            _join_windows(layer, fresh, lengths)


def _join_windows(layer: DynamicSlidingWindowLayer, fresh: DynamicSlidingWindowLayer, lengths: tuple[int, int]) -> None:
    window = layer.sliding_window - 1
    kept = (min(lengths[0], window), min(lengths[1], window))
    total = max(kept)
    layer.keys = _aligned(layer.keys, fresh.keys, kept, total, total)
    layer.values = _aligned(layer.values, fresh.values, kept, total, total)
    layer.cumulative_length = max(lengths)


def _aligned(one: Tensor, other: Tensor, lengths: tuple[int, int], total: int, room: int) -> Tensor:
    """The newest `lengths` tokens of both, ending at column `total` of a buffer with `room`; zeros are before them."""
    rows, heads, _, width = one.shape
    buffer = one.new_zeros(rows + len(other), heads, room, width)
    for part, length, place in ((one, lengths[0], slice(rows)), (other, lengths[1], slice(rows, None))):
        buffer[place, :, total - length : total] = part[:, :, part.shape[2] - length :]
    return buffer


def new_cache(config: Any) -> DynamicCache:
    """An empty cache for a model; layers that see a window, or keep something else, are transformers' own."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _room(total: int) -> int:
    return total + max(_LEAST_ROOM, total // 4)


def _with_room(part: Tensor, rows: Tensor | None, total: int) -> Tensor:
    """A copy, of some rows if they are named, with room for more than `total` tokens."""
    count, heads, length, width = part.shape
    buffer = part.new_empty(count if rows is None else len(rows), heads, _room(total), width)
    if rows is None:
        buffer[:, :, :length] = part
    else:
        torch.index_select(part, 0, rows.to(part.device), out=buffer[:, :, :length])
    return buffer
