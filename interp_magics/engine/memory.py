"""Whether memory was short."""

import torch


def out_of_memory(error: BaseException | None) -> bool:
    """Whether a fault says that the device, or the host, has no more memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
