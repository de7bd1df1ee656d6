"""The proof that a model on vLLM gives of itself before it serves anyone: it answers programs, and they are compared.

The last layer's lens must equal the log-probabilities that vLLM samples from, the hooks of every site must be reached, and the
parts must add up to the stream. Sites for which that does not hold are taken off the card with the reason; a model whose readout
does not is refused.
"""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...errors import RequestError
from ...program.language import Ids, Program, Raw, Row, Stage, Tap
from ..arch import Arch
from ..protocol import NoObjects, Outcome, Task, collect
from ..readout import Readout
from .engine import VllmEngine
from .flight import Flight

_TOKENS = 24
_PARTS = ("embed", "resid_pre", "attn_out", "mlp_out", "resid_post")


def prove(engine: VllmEngine, flight: Flight, arch: Arch, readout: Readout) -> tuple[Arch, float]:
    """(the arch with only the sites that hold, floating-point operations per second of a small pass)."""
    draw = np.random.default_rng(0)
    ids = tuple(int(i) for i in draw.integers(0, arch.shapes.vocabulary, _TOKENS))
    values = {site: _read(engine, ids, site) for site in arch.ports}
    silent = {site: found for site, found in values.items() if isinstance(found, Exception)}
    if "resid_post" in silent:
        raise RequestError(
            f"{engine.card.architecture} is not served by vLLM here: its stream cannot be read ({silent['resid_post']}); serve it "
            "with --engine transformers"
        )
    for site, error in silent.items():
        arch = _remove(arch, (site,), f"vLLM does not run it as a module of its own ({error})")
    stream = values["resid_post"]
    assert isinstance(stream, Tensor)
    started = time.perf_counter()
    logits = _logits(engine, flight, ids)
    seconds = time.perf_counter() - started
    _prove_readout(engine, readout, stream[-1, -1:], logits)
    summed = {"attn_out", "mlp_out"} <= values.keys() and not silent.keys() & set(_PARTS)
    if summed and not _add_up(*_parts(values)):
        arch = _remove(
            arch, ("attn_out", "mlp_out", "resid_mid"), "what its modules put out does not add up to the stream"
        )
    return arch, 2 * engine.card.parameters * _TOKENS / max(seconds, 1e-6)


def _read(engine: VllmEngine, ids: tuple[int, ...], site: str) -> Tensor | Exception:
    """The values of a site at all layers [L, T, ...], or why they cannot be had."""
    (found,) = collect(engine, [_task(ids, Tap(site, reduce=Raw()))])
    if isinstance(found, Exception):
        return found
    values: Tensor = found.readings[0][0].values[0]["values"]  # type: ignore[index]
    return values


def _logits(engine: VllmEngine, flight: Flight, ids: tuple[int, ...]) -> Tensor:
    """What vLLM samples the token after `ids` from."""
    with flight.watching() as seen:
        (found,) = collect(engine, [_task(ids)])
    if not isinstance(found, Outcome) or not seen:
        raise RequestError(f"{engine.card.architecture} is not served by vLLM here: nothing is sampled ({found!r})")
    return seen[-1]


def _task(ids: tuple[int, ...], *taps: Tap) -> Task:
    return Task(Program((Row(Ids(ids)),), (Stage(taps),)), NoObjects())


def _prove_readout(engine: VllmEngine, readout: Readout, last: Tensor, logits: Tensor) -> None:
    with torch.inference_mode():
        mine = readout.logits(readout.norm(last.to(readout.weight)))[0].log_softmax(-1).cpu()
    theirs = logits.log_softmax(-1).cpu()
    exact = readout.weight.dtype == torch.float32
    tolerance = 1e-4 if exact else 2e-2 * max(1.0, float(logits.abs().amax()))
    difference = float((mine - theirs).abs().max())
    if not difference <= tolerance:
        raise RequestError(
            f"{engine.card.architecture} is not served by vLLM here: the lens of its last layer differs from the log-probabilities "
            f"that vLLM samples from by {difference:.2g} nats (allowed {tolerance:.2g}); serve it with --engine transformers"
        )


def _parts(values: Mapping[str, Tensor | Exception]) -> list[Tensor]:
    """What is summed; the stream that enters a block is what the one before has put out, where it is not read."""
    embed, post = values["embed"], values["resid_post"]
    assert isinstance(embed, Tensor) and isinstance(post, Tensor)
    entering = values.get("resid_pre", torch.cat([embed, post[:-1]]))
    found = (entering, values["attn_out"], values["mlp_out"], post)
    return [part for part in found if isinstance(part, Tensor)]


def _add_up(*parts: Tensor) -> bool:
    pre, attn, mlp, post = (part.float() for part in parts)
    exact = parts[-1].dtype == torch.float32
    return float((pre + attn + mlp - post).abs().max()) <= (1e-5 if exact else 2e-2) * (float(post.abs().max()) + 1e-6)


def _remove(arch: Arch, sites: tuple[str, ...], reason: str) -> Arch:
    ports = {site: ports for site, ports in arch.ports.items() if site not in sites}
    return replace(arch, ports=ports, missing={**dict.fromkeys(sites, reason), **arch.missing})
