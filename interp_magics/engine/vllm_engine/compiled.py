"""Reading and writing inside compiled steps: one opaque operation at each site, in place before vLLM traces the model.

The compiler sees an operation that may change a tensor, and nothing of what it does: which programs are there is decided when a
step runs. Only the stream and what is added to it have one, since each costs a call of Python at every layer of every step.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.library import Library
from vllm.platforms import current_platform
from vllm.utils.torch_utils import direct_register_custom_op

from ..arch import Arch, Port, describe
from ..execution.batch import Address
from ..execution.hooks import Parts, hook
from .ports import adaptation
from .seam import head_of, is_here
from .starting import SLOTS
from .tables import Tables

if current_platform.is_cpu():
    from vllm.v1.worker.cpu_worker import CPUWorker as _Worker
else:
    from vllm.v1.worker.gpu_worker import Worker as _Worker

Visit = Callable[[Address, Parts], None]

#: The stream is read where it leaves a block, and once where it enters the first.
_SITES = ("attn_out", "mlp_out", "resid_post", "ln_final")
_SHOWN = ("embed", *_SITES)
_MISSING = (
    "a compiled step has no operation there; ask a group that does not compile, or one with the transformers engine"
)
#: Of the numbers that operations carry.
_ADDRESSES: list[Address] = []
_visits: list[Visit] = []
_tables: list[Tables] = []


def _site(value: Tensor, second: Tensor | None, number: int) -> None:
    """Add what tables hold, then let whoever visits read and change the value of a site; there is a `second` part where the stream
    is in two."""
    address = _ADDRESSES[number]
    for tables in _tables:
        tables.add(address, value)
    for visit in _visits:
        visit(address, [value] if second is None else [value, second])


def _nothing(value: Tensor, second: Tensor | None, number: int) -> None:
    return None


_LIBRARY = Library("interp_magics", "FRAGMENT")
direct_register_custom_op("site", _site, ["value", "second"], _nothing, _LIBRARY)


def visited_by(visit: Visit | None) -> None:
    """Who is called at every site of every step from now on."""
    _visits[:] = [] if visit is None else [visit]


def tables() -> Tables | None:
    """What rows add to the stream within a CUDA graph; None where nothing was laid out for it."""
    return next(iter(_tables), None)


class HookedWorker(_Worker):
    """vLLM's worker, with the operations in place when the model is loaded and not yet traced."""

    def load_model(self, *given: Any, **named: Any) -> None:
        super().load_model(*given, **named)
        model: Any = self.model_runner.get_model()
        arch = describe(model, head_of(model), adaptation(model), self.parallel_config.tensor_parallel_size, is_here)
        slots = self.vllm_config.additional_config.get(SLOTS, 0)
        install(arch)
        _tables[:] = [self._laid_out(arch, slots)] if slots else []

    def _laid_out(self, arch: Arch, slots: int) -> Tables:
        config, model = self.vllm_config, self.model_runner.get_model()
        most = (
            config.scheduler_config.max_num_batched_tokens,
            config.compilation_config.max_cudagraph_capture_size or 0,
        )
        places = [("resid_pre", 0), *(("resid_post", layer) for layer in range(arch.shapes.layers))]
        return Tables(places, slots, arch.shapes.d_model, max(most), next(model.parameters()).device)


def install(arch: Arch) -> None:
    """Put the operations in place."""
    _ADDRESSES.clear()
    entering: Sequence[Port | None] = arch.ports["resid_pre"][:1]
    for name, ports in (("resid_pre", entering), *((name, arch.ports.get(name, ())) for name in _SITES)):
        for layer, port in enumerate(ports):
            if port is not None:
                _ADDRESSES.append((name, layer))
                _hook(port, len(_ADDRESSES) - 1)


def _hook(port: Port, number: int) -> None:
    def change(parts: Parts) -> None:
        value, second = (*parts, None)[:2]
        torch.ops.interp_magics.site(value, second, number)

    hook(port, change)


def narrowed(arch: Arch) -> Arch:
    """The arch with the sites that have an operation at every layer."""
    shown = {name: ports for name, ports in arch.ports.items() if name in _SHOWN}
    gone = dict.fromkeys((name for name in arch.ports if name not in shown), _MISSING)
    return replace(arch, ports=shown, missing={**gone, **arch.missing})
