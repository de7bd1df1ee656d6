"""Activation checkpointing: of each block only what enters it is kept for the way back, and the block is run once more there.

(Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".) Hooks inside a block see its second run too.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def spared(blocks: Sequence[nn.Module]) -> Iterator[None]:
    """While this lasts, what the blocks compute inside is not kept for gradients."""
    with ExitStack() as stack:
        for block in blocks:
            usual: Callable[..., Any] = block.forward
            block.forward = partial(_twice, usual)
            stack.callback(block.__dict__.pop, "forward")
        yield


def _twice(forward: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=False, **named)
