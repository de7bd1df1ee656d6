"""The card of a loaded model, whichever engine serves it."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
import transformers

from ...launch.config import ModelSpec
from ...program.cards import ModelCard, SiteInfo
from ..adapters import registered
from ..arch import Arch, site_shape
from ..checkpoint import digest_of
from ..lens_kinds import LENS_KINDS
from ..tokens import Tokens
from .reduce import REDUCTION_NAMES


@dataclass(frozen=True)
class Served:
    """What an engine says of a model that it serves: `rate` is operations per second of a small pass."""

    engine: str
    architecture: str
    dtype: torch.dtype
    parameters: int
    context: int
    rate: float
    ops: tuple[str, ...]
    gradients: bool
    conditions: bool
    together: bool
    versions: Mapping[str, str]
    remarks: Sequence[str]


def card_of(checkpoint: ModelSpec, arch: Arch, tokens: Tokens, served: Served) -> ModelCard:
    """The card."""
    shapes = arch.shapes
    sites = {site: _site(site, arch) for site in arch.ports}
    sites["logits"] = SiteInfo(
        (shapes.vocabulary,), 1, writable=False, note="made from ln_final by the head, in float32"
    )
    return ModelCard(
        name=checkpoint.name,
        family=arch.family,
        architecture=served.architecture,
        digest=_identity(checkpoint),
        revision=checkpoint.revision or "",
        tokenizer=Path(checkpoint.path).name,
        dtype=str(served.dtype).removeprefix("torch."),
        layers=shapes.layers,
        d_model=shapes.d_model,
        d_mlp=shapes.d_mlp,
        heads=shapes.heads,
        kv_heads=shapes.kv_heads,
        d_head=shapes.d_head,
        vocabulary=shapes.vocabulary,
        context=served.context,
        parameters=served.parameters,
        sites=sites,
        missing=arch.missing,
        engine=served.engine,
        ops=served.ops,
        conditions=served.conditions,
        together=served.together,
        reductions=REDUCTION_NAMES,
        lens_kinds=tuple(LENS_KINDS),
        special_tokens=tokens.special,
        chat_template=tokens.has_template,
        gradients=served.gradients,
        flops_per_second=served.rate,
        versions={
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "python": platform.python_version(),
            **served.versions,
        },
        remarks=tuple(served.remarks),
    )


def _identity(checkpoint: ModelSpec) -> str:
    """What determines a model's numbers: its checkpoint, and its adapter if it has one."""
    path = Path(checkpoint.path)
    own = digest_of(path) if path.is_dir() else f"{checkpoint.path}@{checkpoint.revision or 'main'}"
    adapter = registered(checkpoint)
    return own if adapter is None else sha256(f"{own}\0{digest_of(adapter)}".encode()).hexdigest()


def _site(site: str, arch: Arch) -> SiteInfo:
    shape = site_shape(site, arch.shapes)
    note = arch.notes.get(site, "")
    if site == "attn_pattern":
        return SiteInfo(
            shape, len(arch.ports[site]), writable=False, note="after softmax; heads x keys up to each position"
        )
    return SiteInfo(shape, len(arch.ports[site]), note=note)
