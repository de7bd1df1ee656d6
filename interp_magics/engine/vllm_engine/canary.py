"""The proof that a model on vLLM gives of itself before it serves anyone: it answers programs, and they are compared.

The last layer's lens must equal the log-probabilities that vLLM samples from, the hooks of every site must be reached, and the
parts must add up to the stream. Sites for which that does not hold are taken off the card with the reason; a model whose readout
does not is refused.
"""

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import RequestError
from ...program.language import Ids, Program, Raw, Row, Stage, Tap
from ..arch import Arch
from ..execution.proof import adds_up, example, operations_per_second, prove_readout, without
from ..protocol import NoObjects, Outcome, Task, collect
from ..readout import Readout
from .engine import VllmEngine
from .flight import Flight

_WAY_OUT = "; serve it with --engine transformers"
_PARTS = ("embed", "resid_pre", "attn_out", "mlp_out", "resid_post")


def prove(engine: VllmEngine, flight: Flight, arch: Arch, readout: Readout) -> tuple[Arch, float]:
    """(the arch with only the sites that hold, floating-point operations per second of a small pass)."""
    ids = example(arch)
    values = {site: _read(engine, ids, site) for site in arch.ports}
    silent = {site: found for site, found in values.items() if isinstance(found, Exception)}
    if "resid_post" in silent:
        raise RequestError(
            f"{engine.card.architecture} is not served by vLLM here: its stream cannot be read ({silent['resid_post']}); serve it "
            "with --engine transformers"
        )
    for site, error in silent.items():
        arch = without(arch, (site,), f"vLLM does not run it as a module of its own ({error})")
    stream = values["resid_post"]
    assert isinstance(stream, Tensor)
    started = time.perf_counter()
    logits = _logits(engine, flight, ids)
    seconds = time.perf_counter() - started
    with torch.inference_mode():
        prove_readout(engine.card.architecture, readout, stream[-1, -1:], logits[None], _WAY_OUT)
    summed = {"attn_out", "mlp_out"} <= values.keys() and not silent.keys() & set(_PARTS)
    if summed and not adds_up(*_parts(values)):
        arch = without(
            arch, ("attn_out", "mlp_out", "resid_mid"), "what its modules put out does not add up to the stream"
        )
    return arch, operations_per_second(engine.card.parameters, seconds)


def _read(engine: VllmEngine, ids: tuple[int, ...], site: str) -> Tensor | Exception:
    """The values of a site at all layers [L, T, ...], or why they cannot be had."""
    (found,) = collect(engine, [_task(ids, Tap(site, reduce=Raw()))])
    if isinstance(found, Exception):
        return found
    values = found.readings[0][0].values[0]
    assert isinstance(values, dict)
    read: Tensor = values["values"]
    return read


def _logits(engine: VllmEngine, flight: Flight, ids: tuple[int, ...]) -> Tensor:
    """What vLLM samples the token after `ids` from."""
    with flight.watching() as seen:
        (found,) = collect(engine, [_task(ids)])
    if not isinstance(found, Outcome) or not seen:
        raise RequestError(f"{engine.card.architecture} is not served by vLLM here: nothing is sampled ({found!r})")
    return seen[-1]


def _task(ids: tuple[int, ...], *taps: Tap) -> Task:
    return Task(Program((Row(Ids(ids)),), (Stage(taps),)), NoObjects())


def _parts(values: Mapping[str, Tensor | Exception]) -> list[Tensor]:
    """What is summed; the stream that enters a block is what the one before has put out, where it is not read."""
    embed, post = values["embed"], values["resid_post"]
    assert isinstance(embed, Tensor) and isinstance(post, Tensor)
    entering = values.get("resid_pre", torch.cat([embed, post[:-1]]))
    found = (entering, values["attn_out"], values["mlp_out"], post)
    return [part for part in found if isinstance(part, Tensor)]
