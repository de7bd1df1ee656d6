"""The proof that a model gives of itself at load, before it serves anyone.

The last layer's lens must equal the model's own log-probabilities, and the parts that the sites claim must add up to the
stream. Sites whose sums do not hold are taken off the card with the reason; a model whose readout does not is refused.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import RequestError
from ...program.positions import Selection
from ..arch import Arch
from ..execution.batch import BatchRow, Pass, prefill_pass
from ..execution.tape import BoundEdit, Tape
from ..ranks import Ranks
from ..readout import Readout
from ..tokens import Encoded
from .loop import Runner

_TOKENS = 24


def prove(model: Any, runner: Runner) -> tuple[Arch, float]:
    """(the arch with only the sites that hold, floating-point operations per second of a small pass)."""
    rows, ids = _example(runner)
    tape = Tape(runner.arch, rows, runner.ranks)
    layers = range(runner.arch.shapes.layers)
    parts = [site for site in ("resid_pre", "attn_out", "mlp_out", "resid_post") if site in runner.arch.ports]
    for site in parts:
        for layer in layers:
            tape.want((site, layer), (0,))
    with torch.inference_mode():
        logits, seconds = _pass(model, ids, tape, rows)
        stream = tape.record(("resid_post", runner.arch.shapes.layers - 1)).row(0)
        _prove_readout(model, runner.readout, stream, logits)
        broken = [layer for layer in layers if len(parts) == 4 and not _adds_up(tape, layer)]
    arch = _without(runner.arch, broken)
    if len(parts) < 4:
        arch = _remove(arch, ("attn_out", "mlp_out", "resid_mid"), "without both sublayers their sum cannot be proved")
    if (
        "resid_mid" in arch.ports
        and "(found by structure)" in arch.family
        and not _reads_attention(model, arch, rows, ids, runner.ranks)
    ):
        arch = _remove(arch, ("resid_mid",), "attention and MLP read the same stream side by side")
    parameters = sum(p.numel() for p in model.parameters())
    return arch, 2 * parameters * _TOKENS / max(seconds, 1e-6)


def _example(runner: Runner) -> tuple[list[BatchRow], Tensor]:
    draw = np.random.default_rng(0)
    ids = tuple(int(i) for i in draw.integers(0, runner.arch.shapes.vocabulary, _TOKENS))
    return [BatchRow(0, 0, Encoded(ids, None, ""), None, [])], torch.tensor([ids], device=runner.device)


def _pass(model: Any, ids: Tensor, tape: Tape, rows: list[BatchRow]) -> tuple[Tensor, float]:
    call: Pass = prefill_pass(rows)
    model(input_ids=ids)
    with tape.installed(), tape.during(call):
        started = time.perf_counter()
        logits = model(input_ids=ids).logits[0].float()
    return logits, time.perf_counter() - started


def _prove_readout(model: Any, readout: Readout, stream: Tensor, logits: Tensor) -> None:
    mine = readout.logits(readout.norm(stream)).log_softmax(-1)
    theirs = logits.log_softmax(-1)
    exact = readout.weight.dtype == torch.float32
    tolerance = 1e-4 if exact else 2e-2 * max(1.0, float(logits.abs().amax()))
    difference = float((mine - theirs).abs().max())
    if not difference <= tolerance:
        raise RequestError(
            f"{type(model).__name__} is not served: the lens of its last layer differs from its own log-probabilities by "
            f"{difference:.2g} nats (allowed {tolerance:.2g}), so its final norm or head is not what was found"
        )


def _adds_up(tape: Tape, layer: int) -> bool:
    pre, attn, mlp, post = (
        tape.record((site, layer)).row(0).float() for site in ("resid_pre", "attn_out", "mlp_out", "resid_post")
    )
    exact = tape.record(("resid_post", layer)).row(0).dtype == torch.float32
    scale = float(post.abs().amax()) + 1e-6
    return float((pre + attn + mlp - post).abs().max()) <= (1e-5 if exact else 2e-2) * scale


def _without(arch: Arch, broken: list[int]) -> Arch:
    if not broken:
        return arch
    reason = f"what its modules put out does not add up to the stream (first at layer {broken[0]})"
    return _remove(arch, ("attn_out", "mlp_out", "resid_mid"), reason)


def _remove(arch: Arch, sites: tuple[str, ...], reason: str) -> Arch:
    ports = {site: ports for site, ports in arch.ports.items() if site not in sites}
    missing = {**dict.fromkeys(sites, reason), **arch.missing}
    return replace(arch, ports=ports, missing=missing)


def _reads_attention(model: Any, arch: Arch, rows: list[BatchRow], ids: Tensor, ranks: Ranks) -> bool:
    """Whether the MLP of layer 0 changes when attention adds nothing there, as it must where resid_mid exists."""
    outputs = []
    everywhere = Selection(np.ones(_TOKENS, bool), True)
    for edited in (False, True):
        tape = Tape(arch, rows, ranks)
        tape.want(("mlp_out", 0), (0,))
        if edited:
            tape.edit(("attn_out", 0), BoundEdit({0: everywhere}, None, torch.zeros_like))
        with torch.inference_mode(), tape.installed(), tape.during(prefill_pass(rows)):
            model(input_ids=ids)
        outputs.append(tape.record(("mlp_out", 0)).row(0))
    return not torch.equal(*outputs)
