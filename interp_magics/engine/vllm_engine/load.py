"""From a checkpoint to the production engine: vLLM's own loading, the parts, the canary, the card."""

from dataclasses import replace
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from ...errors import RequestError
from ...launch.config import ModelSpec
from .. import adapters
from ..arch import Arch, describe
from ..execution.card import Served, card_of
from ..execution.edits import OP_NAMES
from ..execution.stopping import stop_ids
from ..ranks import ALONE, Ranks
from ..tokens import Tokens
from .canary import prove, prove_slots
from .engine import VllmEngine
from .flight import Flight
from .head import find_readout
from .ports import adaptation
from .seam import Seam, head_of, is_here
from .starting import config_of

#: Bytes of pages on a host without GPUs, where what is free is others' too.
_HOST_PAGES = 1 << 30


def load(checkpoint: ModelSpec, ranks: Ranks = ALONE, options: dict[str, Any] | None = None) -> VllmEngine:
    """Load, prove and describe a model, on all its ranks at once. Raises RequestError with what is missing; never runs
    code from the checkpoint. `options` are given to vLLM as they are."""
    if checkpoint.max_memory:
        raise RequestError("max_memory is for the transformers engine; leave it out, or choose that")
    source: dict[str, Any] = {} if checkpoint.revision is None else {"revision": checkpoint.revision}
    # vLLM changes classes of transformers when it runs a model in them.
    parameters = _parameters(checkpoint)
    seam = Seam(checkpoint, ranks, {**_pages(checkpoint), **(options or {})})
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.path, trust_remote_code=False, **source)
    model: Any = seam.model
    arch = describe(model, head_of(model), adaptation(model), checkpoint.tp, is_here)
    readout = find_readout(model, arch, seam.stages, ranks)
    tokens = Tokens(tokenizer, arch.shapes.vocabulary)
    flight = Flight(seam, arch, readout, tokens, stop_ids(_stated_ends(checkpoint, source), tokenizer))
    served = Served(
        engine="vllm",
        architecture=str((model.config.architectures or [type(model).__name__])[0]),
        dtype=readout.weight.dtype,
        parameters=parameters,
        context=seam.context,
        rate=1.0,
        ops=OP_NAMES,
        gradients=False,
        conditions=True,
        together=False,
        versions={"vllm": seam.version},
        remarks=adapters.remarks(checkpoint),
    )

    def engine(arch: Arch, served: Served) -> VllmEngine:
        return VllmEngine(flight, card_of(checkpoint, arch, tokens, served), tokens, readout, seam.close)

    shown = _shown(arch, seam)
    tried = engine(shown, served)
    proven, rate = prove(tried, flight, shown, readout)
    remarks = (*served.remarks, *prove_slots(tried, flight, shown, readout))
    return engine(proven, replace(served, rate=rate, remarks=remarks))


def _shown(arch: Arch, seam: Seam) -> Arch:
    """The arch with what can be asked for."""
    if not seam.compiled:
        return arch
    from .compiled import narrowed

    return narrowed(arch)


def _pages(checkpoint: ModelSpec) -> dict[str, Any]:
    most = checkpoint.kv_bytes
    if most is None and not torch.cuda.is_available():
        most = _HOST_PAGES
    given = {"kv_cache_memory_bytes": most, "max_model_len": checkpoint.context}
    return {name: value for name, value in given.items() if value is not None}


def _stated_ends(checkpoint: ModelSpec, source: dict[str, Any]) -> Any:
    """What the checkpoint's generation config says that ends a completion."""
    try:
        return GenerationConfig.from_pretrained(checkpoint.path, **source).eos_token_id
    except OSError:
        return None


def _parameters(checkpoint: ModelSpec) -> int:
    """Of the whole model as transformers makes it: vLLM packs what it has loaded, cuts it and pads its vocabulary."""
    config = config_of(checkpoint)
    try:
        with torch.device("meta"):
            whole = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except ValueError as error:
        raise RequestError(f"the model {checkpoint.name!r} is none that continues texts: {error}") from error
    return sum(parameter.numel() for parameter in whole.parameters())
