"""A dictionary as tensors and plain data: how it travels, whole, between a notebook and a pool."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np

from ..errors import RequestError
from ..program.operations import Stored, StoredDictionary
from . import files
from .dictionary import WEIGHTS, Dictionary
from .vector_edits import StoredObject

KIND = "dictionary"
_FORM = ("architecture", "k", "subtract_b_dec", "rank_by_norm", "scale", "scale_out", "normalize")
_PLAIN = (*_FORM, "site", "layer", "site_out")


def tensors_of(dictionary: Dictionary) -> dict[str, files.Array]:
    """Its weights by name, without those that its architecture has not."""
    given = {name: getattr(dictionary, name) for name in WEIGHTS}
    return {name: np.asarray(value) for name, value in given.items() if value is not None}


def plain_of(dictionary: Dictionary) -> dict[str, Any]:
    """What it says beside its weights; where it comes from is told apart (`made_from`)."""
    return {name: getattr(dictionary, name) for name in _PLAIN}


def built(tensors: Mapping[str, files.Array], plain: Mapping[str, Any], made_from: Mapping[str, Any]) -> Dictionary:
    """What `tensors_of` and `plain_of` took apart. Raises RequestError for something else."""
    unknown = (set(tensors) - set(WEIGHTS)) | (set(plain) - set(_PLAIN))
    missing = {"W_enc", "W_dec", "b_enc", "b_dec"} - set(tensors)
    if unknown or missing:
        raise RequestError(
            f"this is no dictionary: {', '.join(sorted(unknown or missing))} {'is' if unknown else 'are not'} there"
        )
    arguments: dict[str, Any] = {**tensors, **plain, "made_from": dict(made_from)}
    return Dictionary(**arguments)


def encode(dictionary: Dictionary) -> bytes:
    """One safetensors object; the same dictionary gives the same bytes, wherever it comes from."""
    return files.encode(tensors_of(dictionary), {"kind": KIND, **plain_of(dictionary)})


def decode(tensors: Mapping[str, files.Array], meta: Mapping[str, Any]) -> Dictionary:
    """What `encode` made."""
    return built(tensors, {name: value for name, value in meta.items() if name != "kind"}, {})


def named(dictionary: Dictionary) -> tuple[StoredDictionary, StoredObject]:
    """How a request names it, and what a pool must have of it."""
    data = encode(dictionary)
    digest = sha256(data).hexdigest()
    weights = tuple(Stored(digest, name) for name in tensors_of(dictionary))
    plain = {name: getattr(dictionary, name) for name in _FORM}
    out = int(dictionary.W_dec.shape[1])
    form = StoredDictionary(weights, dictionary.width, out, dictionary.latents, **plain)
    name = f"{dictionary.architecture} dictionary of {dictionary.site}[{dictionary.layer}]"
    return form, StoredObject(name, digest, data, dictionary.checkpoint, dictionary.made_from)
