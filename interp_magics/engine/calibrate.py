"""What this machine reaches: operations of a large matrix product, bytes of a large copy."""

import os
import time
from collections.abc import Callable

import torch

_SIDE, _COPY, _ROUNDS = 2048, 1 << 28, 5


def measure() -> tuple[str, float, float, float]:
    """(name, operations per second, bytes per second, bytes of memory) of the device that a worker would use."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    a = torch.randn(_SIDE, _SIDE, device=device, dtype=dtype)
    source = torch.zeros(_COPY, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    flops = 2.0 * _SIDE**3 / _fastest(lambda: torch.mm(a, a), device)
    moved = 2.0 * _COPY / _fastest(lambda: target.copy_(source), device)
    return _name(device), flops, moved, _memory(device)


def _fastest(run: Callable[[], object], device: torch.device) -> float:
    spent = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - started)
    return min(spent)


def _name(device: torch.device) -> str:
    return (
        torch.cuda.get_device_name() if device.type == "cuda" else f"this CPU ({torch.get_num_threads()} threads, fp32)"
    )


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
