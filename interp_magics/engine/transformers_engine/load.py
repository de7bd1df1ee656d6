"""From a checkpoint to an engine: transformers' own loading, the parts, the self-test, the card."""

from functools import partial
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from ...errors import RequestError
from ...launch.config import ModelSpec
from .. import adapters
from ..arch import describe
from ..execution.card import Served, card_of
from ..execution.edits import OP_NAMES
from ..execution.stopping import stop_ids
from ..ranks import ALONE, Ranks
from ..readout import find_readout
from ..tokens import Tokens
from . import parallel, spread
from .engine import TransformersEngine
from .loop import Runner
from .selftest import prove

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load(checkpoint: ModelSpec, ranks: Ranks = ALONE) -> TransformersEngine:
    """Load, prove and describe a model, on all its ranks at once. Raises RequestError with what is missing; never runs
    code from the checkpoint."""
    transformers.utils.logging.disable_progress_bar()
    device = torch.device(checkpoint.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    source: dict[str, Any] = {} if checkpoint.revision is None else {"revision": checkpoint.revision}
    model = _load_model(checkpoint, source, device, ranks)
    device = spread.device_of(model, device)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.path, trust_remote_code=False, **source)
    arch = describe(model, model.get_output_embeddings())
    tokens = Tokens(tokenizer, arch.shapes.vocabulary)
    runner = Runner(
        model=model,
        arch=arch,
        readout=find_readout(model, arch.norm, ranks, partial(spread.held, model.get_output_embeddings())),
        tokens=tokens,
        stop_ids=stop_ids(getattr(model.generation_config, "eos_token_id", None), tokenizer),
        pad=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
        device=device,
        ranks=ranks,
    )
    proven, rate = prove(model, runner)
    runner = Runner(**{**runner.__dict__, "arch": proven})
    served = Served(
        engine="transformers",
        architecture=type(model).__name__,
        dtype=model.dtype,
        parameters=sum(p.numel() for p in model.parameters()),
        context=arch.shapes.context,
        rate=rate,
        ops=OP_NAMES,
        gradients=True,
        conditions=True,
        together=True,
        versions={},
        remarks=(*adapters.remarks(checkpoint), *spread.described(model)),
    )
    return TransformersEngine(runner, card_of(checkpoint, proven, tokens, served))


def _load_model(checkpoint: ModelSpec, source: dict[str, Any], device: torch.device, ranks: Ranks) -> Any:
    dtype: Any = "auto" if checkpoint.dtype is None else _DTYPES.get(checkpoint.dtype)
    if dtype is None:
        raise RequestError(f"unknown dtype {checkpoint.dtype!r}; there is {', '.join(_DTYPES)}")
    try:
        config = AutoConfig.from_pretrained(checkpoint.path, trust_remote_code=False, **source)
        if getattr(config.get_text_config(), "attn_logit_softcapping", None):
            # Some releases run Gemma 2 on sdpa, which leaves the cap of its attention out without a word.
            source = {**source, "attn_implementation": "eager"}
        source = {**source, **parallel.arguments(config, ranks), **spread.arguments(checkpoint, _free(device))}
        model = AutoModelForCausalLM.from_pretrained(
            checkpoint.path, dtype=dtype, trust_remote_code=False, use_safetensors=True, **source
        )
    except (OSError, ValueError, ImportError) as error:
        raise RequestError(
            f"the model {checkpoint.name!r} could not be loaded from {checkpoint.path}: {error}"
        ) from error
    if (adapter := adapters.registered(checkpoint)) is not None:
        model.load_adapter(str(adapter))
    placed = "distributed_config" in source or spread.is_spread(model) or getattr(model, "is_quantized", False)
    if not placed:
        model.to(device)
    return model.eval().requires_grad_(False)


def _free(device: torch.device) -> int | None:
    """Bytes that are free on a device of its own; None on the host, which swaps before it refuses."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
