"""What a model costs on given hardware, from its configuration alone: memory of a rank, bytes moved, work, time.

Predictions, all of them: arithmetic over the shapes of a decoder with gated MLP and grouped-query attention, and a few
constants of the machine. Two operations per parameter and token; causal attention over all tokens before; bf16 weights,
cache and captured rows unless the dtype says otherwise.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import RequestError, nearest
from .program.shapes import Shapes, read_shapes

TILE_BYTES = 2 * 512 * 2048 * 4
_LENS_NUMBERS = 3


@dataclass(frozen=True)
class Shape:
    """A decoder to plan for. `mlp_matrices` is 3 for a gated MLP, 2 for a plain one; `tied` heads are the embedding."""

    name: str
    sizes: Shapes
    tied: bool = False
    mlp_matrices: int = 3

    @property
    def block_parameters(self) -> int:
        """Weights of all blocks; norms and biases are left out."""
        z = self.sizes
        attention = z.d_model * z.d_head * (2 * z.heads + 2 * z.kv_heads)
        return z.layers * (attention + self.mlp_matrices * z.d_model * z.d_mlp)

    @property
    def parameters(self) -> int:
        return self.block_parameters + self.sizes.vocabulary * self.sizes.d_model * (1 if self.tied else 2)


@dataclass(frozen=True)
class Machine:
    """One device: operations per second of large matrix products, bytes per second of its memory and of its link to the
    other ranks, bytes of memory. `source` says where the numbers are from."""

    name: str
    flops: float
    bandwidth: float
    link: float
    memory: float
    source: str


@dataclass(frozen=True)
class Work:
    """What is asked: `tokens` of each of `users` texts read in one pass, `new` generated, `sites` captured and decoded."""

    tokens: int
    users: int = 1
    new: int = 500
    sites: int = 1
    top_k: int = 5
    item: int = 2


#: Shapes from the models' published configurations.
MODELS: dict[str, Shape] = {
    "llama-3.1-8b": Shape("llama-3.1-8b", Shapes(32, 4096, 14336, 32, 8, 128, 128256)),
    "llama-3.1-70b": Shape("llama-3.1-70b", Shapes(80, 8192, 28672, 64, 8, 128, 128256)),
    "llama-3.1-405b": Shape("llama-3.1-405b", Shapes(126, 16384, 53248, 128, 8, 128, 128256)),
    "qwen3-4b": Shape("qwen3-4b", Shapes(36, 2560, 9728, 32, 8, 128, 151936), tied=True),
    "qwen3-14b": Shape("qwen3-14b", Shapes(40, 5120, 17408, 40, 8, 128, 151936)),
    "qwen3-32b": Shape("qwen3-32b", Shapes(64, 5120, 25600, 64, 8, 128, 151936)),
}

#: Data sheets (dense bf16, memory, NVLink or PCIe in one direction), with 0.6 of the operations and 0.7 of the rest as what
#: is reached.
_SHEETS = {
    "a6000": (155e12, 768e9, 28e9, 48e9),
    "a100": (312e12, 2.0e12, 300e9, 80e9),
    "h100": (989e12, 3.35e12, 450e9, 80e9),
}
MACHINES: dict[str, Machine] = {
    name: Machine(
        name, 0.6 * flops, 0.7 * bandwidth, 0.7 * link, memory, "data sheet, 0.6 of the operations, 0.7 of the bytes"
    )
    for name, (flops, bandwidth, link, memory) in _SHEETS.items()
}


def read_shape(model: str) -> Shape:
    """A known name, or the configuration of a local checkpoint. Raises RequestError for anything else."""
    if model.lower() in MODELS:
        return MODELS[model.lower()]
    path = Path(model).expanduser()
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        raise RequestError(f"{model!r} is neither a checkpoint's directory nor a known model{nearest(model, MODELS)}")
    config = json.loads(file.read_text())
    return _shape_of(path.name, config.get("text_config", config))


def _shape_of(name: str, config: Mapping[str, Any]) -> Shape:
    plain = config.get("model_type") in ("gpt2", "gpt_neox", "opt", "starcoder2")
    tied = bool(config.get("tie_word_embeddings", config.get("model_type") == "gpt2"))
    return Shape(name, read_shapes(config.get), tied, 2 if plain else 3)


@dataclass(frozen=True)
class Plan:
    """Predictions for one model on `ranks` devices: bytes of each rank, bytes moved, operations, seconds."""

    weights: float
    cache: float
    captured: float
    workspace: float
    stacked_logits: float
    exchanged: float
    prefill_flops: float
    lens_flops: float
    prefill_seconds: float
    lens_seconds: float
    step_seconds: float
    tokens_per_second: float

    @property
    def resident(self) -> float:
        """What one rank holds while it serves this work."""
        return self.weights + self.cache + self.captured + self.workspace


def plan(shape: Shape, machine: Machine, work: Work, ranks: int) -> Plan:
    """Predict. Collectives are rings: each rank sends 2 (W - 1) / W of an all-reduce and (W - 1) / W of an all-gather."""
    tokens, item = work.tokens * work.users, work.item
    read = tokens + work.users * max(0, work.new - 1)
    rows = shape.sizes.layers * read * work.sites
    prefill = 2.0 * shape.block_parameters * tokens + (
        2.0 * shape.sizes.layers * work.users * work.tokens**2 * shape.sizes.heads * shape.sizes.d_head
    )
    lens = 2.0 * rows * shape.sizes.d_model * shape.sizes.vocabulary
    weights = item * shape.parameters / ranks
    cache = 2.0 * shape.sizes.layers * shape.sizes.kv_heads * shape.sizes.d_head * item * read / ranks
    reduced = 2.0 * (ranks - 1) / ranks * 2 * shape.sizes.layers * tokens * shape.sizes.d_model * item
    gathered = (ranks - 1) / ranks * rows * (shape.sizes.d_model * item + 4 * (2 * work.top_k + _LENS_NUMBERS))
    step = (weights + cache) / machine.bandwidth + 2.0 * shape.sizes.layers * _hop(ranks)
    return Plan(
        weights=weights,
        cache=cache,
        captured=item * rows * shape.sizes.d_model / ranks,
        workspace=TILE_BYTES,
        stacked_logits=4.0 * rows * shape.sizes.vocabulary,
        exchanged=reduced + gathered,
        prefill_flops=prefill,
        lens_flops=lens,
        prefill_seconds=prefill / (ranks * machine.flops) + reduced / machine.link,
        lens_seconds=lens / (ranks * machine.flops) + gathered / machine.link,
        step_seconds=step,
        tokens_per_second=work.users / step,
    )


def _hop(ranks: int) -> float:
    """Seconds of latency of a small all-reduce."""
    return 0.0 if ranks == 1 else 1e-5


def describe(shape: Shape, machine: Machine, work: Work, ranks: int) -> str:
    """A plan as text."""
    made = plan(shape, machine, work, ranks)
    fits = (
        "fits" if made.resident < 0.9 * machine.memory else "does NOT fit: take more ranks, fewer users or fewer sites"
    )
    what = f"{work.users} x {work.tokens} tokens read, {work.new} generated each, {work.sites} site{'s' * (work.sites > 1)}"
    sweep = 7 * shape.sizes.layers * made.prefill_seconds / work.users
    lines = [
        f"{shape.name}: {shape.parameters / 1e9:.2f} B parameters on {ranks} x {machine.name}; {what}",
        f"predictions; the machine's constants: {machine.source}",
        "",
        f"memory of a rank     {in_bytes(made.resident)} of {in_bytes(machine.memory)}, {fits}",
        f"  weights            {in_bytes(made.weights)}",
        f"  key-value cache    {in_bytes(made.cache)}",
        f"  captured rows      {in_bytes(made.captured)}   (once across the ranks)",
        f"  lens workspace     {in_bytes(made.workspace)}   (stacked logits would be {in_bytes(made.stacked_logits)})",
        f"bytes sent by a rank {in_bytes(made.exchanged)}",
        f"prefill              {made.prefill_flops / 1e12:.1f} TFLOP, {in_time(made.prefill_seconds)}",
        f"lens, every row      {made.lens_flops / 1e12:.1f} TFLOP, {in_time(made.lens_seconds)}",
        f"a step of generation {in_time(made.step_seconds)}; {made.tokens_per_second:.0f} tokens/s over all users",
        f"a sweep of 7 scales x {shape.sizes.layers} layers at one prompt each {in_time(sweep)}",
    ]
    return "\n".join(lines)


def in_bytes(count: float) -> str:
    """Bytes in the unit that reads best."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"


def in_time(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.2f} ms"
