"""The proof that a model gives of itself at load, before it serves anyone.

The last layer's lens must equal the model's own log-probabilities, and the parts that the sites claim must add up to the
stream. Sites whose sums do not hold are taken off the card with the reason; a model whose readout does not is refused.
"""

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...program.positions import Selection
from ..arch import Arch
from ..execution.batch import BatchRow, Pass, prefill_pass
from ..execution.proof import SUMMED, TOKENS, adds_up, example, operations_per_second, prove_readout, without
from ..execution.readers import WHOLE
from ..execution.tape import Tape
from ..execution.writing import BoundEdit
from ..ranks import Ranks
from ..tokens import Encoded
from .loop import Runner


def prove(model: Any, runner: Runner) -> tuple[Arch, float]:
    """(the arch with only the sites that hold, floating-point operations per second of a small pass)."""
    rows, ids = _example(runner)
    tape = Tape(runner.arch, rows, runner.ranks)
    layers = range(runner.arch.shapes.layers)
    parts = [site for site in SUMMED if site in runner.arch.ports]
    for site in parts:
        for layer in layers:
            tape.want((site, layer), {0: WHOLE})
    with torch.inference_mode():
        logits, seconds = _pass(model, ids, tape, rows)
        stream = tape.record(("resid_post", runner.arch.shapes.layers - 1)).row(0)
        prove_readout(
            type(model).__name__, runner.readout, stream, logits, ", so its final norm or head is not what was found"
        )
        broken = [layer for layer in layers if len(parts) == 4 and not _adds_up(tape, layer)]
    arch = _without_broken(runner.arch, broken)
    if len(parts) < 4:
        arch = without(arch, ("attn_out", "mlp_out", "resid_mid"), "without both sublayers their sum cannot be proved")
    if (
        "resid_mid" in arch.ports
        and "(found by structure)" in arch.family
        and not _reads_attention(model, arch, rows, ids, runner.ranks)
    ):
        arch = without(arch, ("resid_mid",), "attention and MLP read the same stream side by side")
    parameters = sum(p.numel() for p in model.parameters())
    return arch, operations_per_second(parameters, seconds)


def _example(runner: Runner) -> tuple[list[BatchRow], Tensor]:
    ids = example(runner.arch)
    return [BatchRow(0, 0, Encoded(ids, None, ""), None, [])], torch.tensor([ids], device=runner.device)


def _pass(model: Any, ids: Tensor, tape: Tape, rows: list[BatchRow]) -> tuple[Tensor, float]:
    call: Pass = prefill_pass(rows)
    model(input_ids=ids)
    with tape.installed(), tape.during(call):
        started = time.perf_counter()
        logits = model(input_ids=ids).logits[0].float()
    return logits, time.perf_counter() - started


def _adds_up(tape: Tape, layer: int) -> bool:
    return adds_up(*(tape.record((site, layer)).row(0) for site in SUMMED))


def _without_broken(arch: Arch, broken: list[int]) -> Arch:
    if not broken:
        return arch
    reason = f"what its modules put out does not add up to the stream (first at layer {broken[0]})"
    return without(arch, ("attn_out", "mlp_out", "resid_mid"), reason)


def _reads_attention(model: Any, arch: Arch, rows: list[BatchRow], ids: Tensor, ranks: Ranks) -> bool:
    """Whether the MLP of layer 0 changes when attention adds nothing there, as it must where resid_mid exists."""
    outputs = []
    everywhere = Selection(np.ones(TOKENS, bool), True)
    for edited in (False, True):
        tape = Tape(arch, rows, ranks)
        tape.want(("mlp_out", 0), {0: WHOLE})
        if edited:
            tape.edit(("attn_out", 0), BoundEdit({0: everywhere}, None, torch.zeros_like))
        with torch.inference_mode(), tape.installed(), tape.during(prefill_pass(rows)):
            model(input_ids=ids)
        outputs.append(tape.record(("mlp_out", 0)).row(0))
    return not torch.equal(*outputs)
