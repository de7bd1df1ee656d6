"""What memory a worker's process has of its device."""

import os
from pathlib import Path

import torch

from ..wire.standing import Device


def devices() -> tuple[Device, ...]:
    """The GPUs that this process uses, or the host's memory."""
    used = [number for number in range(torch.cuda.device_count()) if torch.cuda.memory_reserved(number)]
    if not used:
        return (_host(),)
    return tuple(
        Device(
            name=f"{torch.cuda.get_device_name(number)} {number}",
            used=torch.cuda.memory_reserved(number),
            total=torch.cuda.mem_get_info(number)[1],
        )
        for number in used
    )


def _host() -> Device:
    page = os.sysconf("SC_PAGE_SIZE")
    statm = Path("/proc/self/statm")
    used = int(statm.read_text().split()[1]) * page if statm.is_file() else 0
    return Device(name="host", used=used, total=os.sysconf("SC_PHYS_PAGES") * page)
