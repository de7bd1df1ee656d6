"""Any result from its bytes or its file, by the kind that its metadata names."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import RequestError
from . import (
    activations,
    comparison,
    completions,
    control_vectors,
    dictionary_object,
    feature_search,
    feature_table,
    files,
    intervention,
    lens_run,
    readings,
    sae_evaluation,
    side_effects,
    steerability,
    tokenized,
    training,
    vectors,
)
from .activation_store import read_store

_KINDS: dict[str, Callable[[dict[str, files.Array], Any], Any]] = {
    lens_run.KIND: lens_run.decode,
    activations.KIND: activations.decode,
    completions.KIND: completions.decode,
    tokenized.KIND: tokenized.decode,
    readings.KIND: readings.decode,
    vectors.KIND: vectors.decode,
    steerability.KIND: steerability.decode,
    side_effects.KIND: side_effects.decode,
    comparison.KIND: comparison.decode,
    training.KIND: training.decode,
    feature_table.KIND: feature_table.decode,
    feature_search.KIND: feature_search.decode,
    sae_evaluation.KIND: sae_evaluation.decode,
    dictionary_object.KIND: dictionary_object.decode,
    intervention.KIND: intervention.decode,
}


def decode(data: Any, source: str = "the result") -> Any:
    """The result in `data`. Raises RequestError when it is none of ours."""
    return _build(*files.decode(data, source), source)


def join(parts: Sequence[Any]) -> Any:
    """The result of a call from those of its slices, in order."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], activations.Activations):
        return activations.merge(parts)
    if isinstance(parts[0], steerability.SteerabilityRun):
        return steerability.merge(parts)
    if isinstance(parts[0], side_effects.SideEffects):
        return side_effects.merge(parts)
    if isinstance(parts[0], sae_evaluation.SAEEvaluation):
        return sae_evaluation.merge(parts)
    if isinstance(parts[0], comparison.Comparison):
        return comparison.merge(parts)
    return type(parts[0])(one for part in parts for one in part)


def load(path: str | Path) -> Any:
    """Read what `save` wrote: a LensRun, Activations, SteeringVector, SteerabilityRun or Intervention, or the directory of an
    ActivationStore, or a control vector (.gguf). Large arrays stay on disk until they are used."""
    if Path(path).expanduser().is_dir():
        return read_store(path)
    if Path(path).suffix == control_vectors.SUFFIX:
        return control_vectors.read(path)
    made = _build(*files.read(path), str(path))
    return made[0] if isinstance(made, list) and len(made) == 1 else made


def _build(tensors: dict[str, files.Array], meta: Any, source: str) -> Any:
    kind = meta.get("kind") if isinstance(meta, dict) else None
    if kind not in _KINDS:
        raise RequestError(f"{source} was not written by interp-magics: its metadata names no kind that is known")
    return _KINDS[kind](tensors, meta)
