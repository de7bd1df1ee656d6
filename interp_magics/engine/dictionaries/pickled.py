"""Dictionaries of the library dictionary_learning: a directory with `ae.pt` and `config.json`.

The weights are pickled, so torch opens them, and only as tensors (`weights_only`): no code of the file is run.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...data.dictionary import Architecture, Dictionary
from ...errors import RequestError, nearest

#: Of each class: the architecture, and under which names its weights are (a trailing .T: stored the other way round).
_LINEAR = {"W_enc": "encoder.weight.T", "W_dec": "decoder.weight.T", "b_enc": "encoder.bias"}
_PLAIN = {name: name for name in ("W_enc", "W_dec", "b_enc", "b_dec")}
_GATED = {
    "W_enc": "encoder.weight.T",
    "W_dec": "decoder.weight.T",
    "b_dec": "decoder_bias",
    "b_gate": "gate_bias",
    "b_mag": "mag_bias",
    "r_mag": "r_mag",
}
_CLASSES: dict[str, tuple[Architecture, dict[str, str], bool]] = {
    "AutoEncoder": ("relu", {**_LINEAR, "b_dec": "bias"}, True),
    "AutoEncoderNew": ("relu", {**_LINEAR, "b_dec": "decoder.bias"}, False),
    "AutoEncoderTopK": ("topk", {**_LINEAR, "b_dec": "b_dec"}, True),
    "BatchTopKSAE": ("jumprelu", {**_LINEAR, "b_dec": "b_dec"}, True),
    "MatryoshkaBatchTopKSAE": ("jumprelu", _PLAIN, True),
    "JumpReluAutoEncoder": ("jumprelu", _PLAIN, False),
    "GatedAutoEncoder": ("gated", _GATED, True),
}


def read(directory: Path) -> Dictionary:
    """Raises RequestError for what is missing, malformed or of another kind."""
    config = _config(directory / "config.json")
    name = str(config.get("dict_class", ""))
    if name not in _CLASSES:
        raise RequestError(f"{directory}: unknown class of dictionary {name!r}{nearest(name, _CLASSES)}")
    architecture, names, subtract = _CLASSES[name]
    tensors = _tensors(directory / "ae.pt")
    given: dict[str, Any] = {ours: _found(directory, tensors, theirs) for ours, theirs in names.items()}
    latents = given["W_enc"].shape[-1]
    given.setdefault("b_enc", np.zeros(latents, np.float32))
    if architecture == "jumprelu":
        threshold = _found(directory, tensors, "threshold")
        if threshold.ndim == 0 and threshold < 0:
            raise RequestError(f"{directory}: its threshold was never set (it is {float(threshold)}); train it further")
        given["threshold"] = np.broadcast_to(threshold, (latents,))
    if architecture == "topk":
        given["k"] = int(_found(directory, tensors, "k"))
    return Dictionary(
        **given,
        architecture=architecture,
        subtract_b_dec=subtract,
        layer=int(config.get("layer", 0)),
        made_from={"model": str(config.get("lm_name", "")), "cfg": config},
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        trainer = json.loads(path.read_text(encoding="utf-8"))["trainer"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{path} is not the configuration of a trainer of dictionary_learning: {error!r}") from None
    if not isinstance(trainer, dict):
        raise RequestError(f"{path} is not the configuration of a trainer of dictionary_learning")
    return trainer


def _tensors(path: Path) -> dict[str, Any]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises whatever its unpickler or its archive reader met.
        raise RequestError(
            f"{path} cannot be opened as tensors alone ({type(error).__name__}); nothing of it was run"
        ) from None
    if not isinstance(found, dict):
        raise RequestError(f"{path} holds no named tensors")
    return found


def _found(directory: Path, tensors: dict[str, Any], name: str) -> npt.NDArray[np.float32]:
    plain = name.removesuffix(".T")
    value = tensors.get(plain)
    if not isinstance(value, torch.Tensor):
        raise RequestError(
            f"{directory}: there is no tensor {plain!r}, only {', '.join(sorted(map(str, tensors))) or 'none'}"
        )
    made = np.asarray(value.float().numpy())
    return np.ascontiguousarray(made.T) if name != plain else made
