"""What every model must prove at load, whichever engine serves it: its lens is its own, and its parts add up."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...errors import RequestError
from ..arch import Arch
from ..readout import Readout

#: Tokens of the example.
TOKENS = 24
#: What adds up to the stream that leaves a block.
SUMMED = ("resid_pre", "attn_out", "mlp_out", "resid_post")


def example(arch: Arch) -> tuple[int, ...]:
    """Token ids that are the same in every process."""
    return tuple(int(i) for i in np.random.default_rng(0).integers(0, arch.shapes.vocabulary, TOKENS))


def operations_per_second(parameters: int, seconds: float) -> float:
    """Floating-point operations per second of a pass over the example."""
    return 2 * parameters * TOKENS / max(seconds, 1e-6)


def prove_readout(name: str, readout: Readout, stream: Tensor, logits: Tensor, way_out: str) -> None:
    """Compare the lens of what leaves the last layer, [n, d], with log-probabilities from `logits` [n, vocabulary]. Raises
    RequestError."""
    difference = _apart(readout.logits(readout.norm(stream.to(readout.weight))), logits)
    tolerance = _tolerance(readout.weight.dtype, logits)
    if not difference <= tolerance:
        raise RequestError(
            f"{name} is not served: the lens of its last layer differs from the log-probabilities that its tokens are taken from "
            f"by {difference:.2g} nats (allowed {tolerance:.2g}){way_out}"
        )


def alike(logits: Tensor, others: Tensor, dtype: torch.dtype) -> bool:
    """Whether logits that a model of `dtype` made mean the same."""
    return _apart(logits, others) <= _tolerance(dtype, others)


def _apart(logits: Tensor, others: Tensor) -> float:
    """The largest difference of log-probabilities in nats."""
    return float((logits.log_softmax(-1).cpu() - others.log_softmax(-1).cpu()).abs().max())


def _tolerance(dtype: torch.dtype, logits: Tensor) -> float:
    """How far log-probabilities that are the same may be apart."""
    return 1e-4 if dtype == torch.float32 else 2e-2 * max(1.0, float(logits.abs().amax()))


def adds_up(pre: Tensor, attn: Tensor, mlp: Tensor, post: Tensor) -> bool:
    """Whether the parts of a layer sum to what leaves it."""
    allowed = (1e-5 if post.dtype == torch.float32 else 2e-2) * (float(post.float().abs().max()) + 1e-6)
    return float((pre.float() + attn.float() + mlp.float() - post.float()).abs().max()) <= allowed


def without(arch: Arch, sites: tuple[str, ...], reason: str) -> Arch:
    """The arch without some sites, and why."""
    ports = {site: ports for site, ports in arch.ports.items() if site not in sites}
    return replace(arch, ports=ports, missing={**dict.fromkeys(sites, reason), **arch.missing})
