"""The proof that a model on vLLM gives of itself before it serves anyone: it answers programs, and they are compared.

The last layer's lens must equal the log-probabilities that vLLM samples from, the hooks of every site must be reached, and the
parts must add up to the stream. Sites for which that does not hold are taken off the card with the reason; a model whose readout
does not is refused. Slots for steering must do what an edit does, or they are left alone.
"""

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...errors import RequestError
from ...program.language import Edit, Ids, Program, Raw, Row, Sampling, Stage, Tap
from ...program.operations import Add, Stored
from ..arch import Arch
from ..execution.proof import adds_up, alike, example, operations_per_second, prove_readout, without
from ..protocol import NoObjects, Outcome, Task, collect
from ..readout import Readout
from .engine import VllmEngine
from .flight import Flight

_WAY_OUT = "; serve it with --engine transformers"
_PARTS = ("embed", "resid_pre", "attn_out", "mlp_out", "resid_post")
_SLOTS_UNUSED = "steering slots are not used, but edits: "


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
    logits = _logits(engine, flight, _task(ids))[-1]
    seconds = time.perf_counter() - started
    with torch.inference_mode():
        prove_readout(engine.card.architecture, readout, stream[-1, -1:], logits[None], _WAY_OUT)
    summed = {"attn_out", "mlp_out"} <= values.keys() and not silent.keys() & set(_PARTS)
    if summed and not adds_up(*_parts(values)):
        arch = without(
            arch, ("attn_out", "mlp_out", "resid_mid"), "what its modules put out does not add up to the stream"
        )
    return arch, operations_per_second(engine.card.parameters, seconds)


def prove_slots(engine: VllmEngine, flight: Flight, arch: Arch, readout: Readout) -> tuple[str, ...]:
    """Compare a prompt and a token that are steered from a slot with the same steered by an edit, where there are slots; unless they are
    the same, use none, and say why."""
    tables = flight.tables
    if tables is None:
        return ()
    ids, layer = example(arch), arch.shapes.layers // 2
    stream = _read(engine, ids, "resid_post")
    assert isinstance(stream, Tensor)
    there = stream[layer].float()
    direction = torch.randn(there.shape[-1], generator=torch.Generator().manual_seed(0))
    vector = direction / direction.norm() * there.norm(dim=-1).mean().cpu()
    edit = Edit("resid_post", layer, Add(Stored("", "")))
    task = Task(Program((Row(Ids(ids), Sampling(2)),), (Stage((), (edit,)),)), NoObjects({("", ""): vector}))
    try:
        by_slot = _logits(engine, flight, task)
        tables.used = False
        # Pages that slots filled would stand for those of edits.
        flight.begin_anew()
        tables.used = _alike(by_slot, _logits(engine, flight, task), readout.weight.dtype)
    except RequestError as error:
        tables.used = False
        return (f"{_SLOTS_UNUSED}{error}",)
    return () if tables.used else (f"{_SLOTS_UNUSED}the two do not give the same here",)


def _alike(some: Sequence[Tensor], others: Sequence[Tensor], dtype: torch.dtype) -> bool:
    """Whether logits are the same, as far as the tokens before them are."""
    for one, other in zip(some, others, strict=False):
        if not alike(one, other, dtype):
            return False
        if one.argmax() != other.argmax():
            break
    return True


def _read(engine: VllmEngine, ids: tuple[int, ...], site: str) -> Tensor | Exception:
    """The values of a site at all layers [L, T, ...], or why they cannot be had."""
    (found,) = collect(engine, [_task(ids, Tap(site, reduce=Raw()))])
    if isinstance(found, Exception):
        return found
    values = found.readings[0][0].values[0]
    assert isinstance(values, dict)
    read: Tensor = values["values"]
    return read


def _logits(engine: VllmEngine, flight: Flight, task: Task) -> list[Tensor]:
    """What vLLM samples the tokens of a task of one row from."""
    with flight.watching() as seen:
        (found,) = collect(engine, [task])
    if not isinstance(found, Outcome) or not seen:
        raise RequestError(f"{engine.card.architecture} is not served by vLLM here: nothing is sampled ({found!r})")
    return seen


def _task(ids: tuple[int, ...], *taps: Tap) -> Task:
    return Task(Program((Row(Ids(ids)),), (Stage(taps),)), NoObjects())


def _parts(values: Mapping[str, Tensor | Exception]) -> list[Tensor]:
    """What is summed; the stream that enters a block is what the one before has put out, where it is not read."""
    embed, post = values["embed"], values["resid_post"]
    assert isinstance(embed, Tensor) and isinstance(post, Tensor)
    entering = values.get("resid_pre", torch.cat([embed, post[:-1]]))
    found = (entering, values["attn_out"], values["mlp_out"], post)
    return [part for part in found if isinstance(part, Tensor)]
