"""Dictionaries of others, and ours as others read them: safetensors and plain JSON, nothing that could run code.

Read: SAELens (current and older configurations), sparsify, Gemma Scope 1 (params.npz) and 2, Llama Scope. Written: SAELens'
layout, with `manifest.json` beside it.
"""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RequestError
from ..program.sites import parse_site
from . import files
from .dictionary import Architecture, Dictionary, Normalize
from .manifest import checked

_NORMALIZE: dict[Any, Normalize] = {
    None: "none",
    False: "none",
    "none": "none",
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "constant_norm",
}
_ACTIVATIONS: dict[str, Architecture] = {"relu": "relu", "topk": "topk", "jumprelu": "jumprelu"}


def load_sae(path: str | Path, force: bool = False, checkpoint: str | None = None) -> Dictionary:
    """Read a dictionary from a directory or file of one of the layouts above.

    `checkpoint` is the digest of the model that it is to be used with: one that was trained on another is refused, unless
    `force`. Raises RequestError that says what is missing, malformed or of another kind.
    """
    directory = Path(path).expanduser()
    directory = directory.parent if directory.is_file() else directory
    for file, read in _READERS.items():
        if (directory / file).is_file():
            made = read(directory)
            _check_checkpoint(made, checkpoint, force)
            return made
    if any(directory.glob("*.pt")):
        raise RequestError(
            f"{directory} holds pickled weights (.pt), which are not opened here; if dictionary_learning wrote them, `interp "
            f"convert-sae {directory} OUT` does, as tensors alone"
        )
    raise RequestError(f"{directory} holds no dictionary: looked for {', '.join(_READERS)}")


def save_sae(dictionary: Dictionary, path: str | Path) -> Path:
    """Write SAELens' layout and the manifest, all or nothing. Raises RequestError when the directory exists."""
    target = Path(path).expanduser()
    if target.exists():
        raise RequestError(f"{target} exists already; choose another name, or remove it")
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        (temporary / "cfg.json").write_text(json.dumps(_saelens_cfg(dictionary), indent=1) + "\n")
        (temporary / "sae_weights.safetensors").write_bytes(files.encode(_saelens_tensors(dictionary), {}))
        (temporary / "manifest.json").write_text(json.dumps(_manifest(dictionary), indent=1) + "\n")
        os.chmod(temporary, 0o777 & ~files.umask())
        os.replace(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def _check_checkpoint(made: Dictionary, checkpoint: str | None, force: bool) -> None:
    if checkpoint and made.checkpoint and made.checkpoint != checkpoint and not force:
        raise RequestError(
            f"the dictionary was trained on checkpoint {made.checkpoint[:16]} ({made.made_from.get('model', 'unnamed')}), the "
            f"model's is {checkpoint[:16]}; pass force=True to use it all the same"
        )


def _saelens(directory: Path) -> Dictionary:
    cfg, tensors = _json(directory / "cfg.json"), files.read(directory / "sae_weights.safetensors")[0]
    meta = cfg["metadata"] if isinstance(cfg.get("metadata"), dict) else cfg
    kind = str(cfg.get("architecture", "standard"))
    transcoder = "transcoder" in kind
    site, layer = _where(meta.get("hook_name") or cfg.get("hook_point"), meta)
    out = _where(meta.get("hook_name_out"), meta)[0] if transcoder else None
    if (
        cfg.get("reshape_activations", "none") not in ("none", "hook_z")
        or cfg.get("normalize_activations") not in _NORMALIZE
    ):
        raise RequestError(
            f"{directory}: normalize_activations {cfg.get('normalize_activations')!r} needs statistics that are not in the file; "
            "save it with them folded into the weights"
        )
    subtract = cfg.get("apply_b_dec_to_input", not transcoder)
    return _made(
        directory,
        tensors,
        {"W_enc": "W_enc", "W_dec": "W_dec", "b_dec": "b_dec", "W_skip": "W_skip", "threshold": "threshold"}
        | {name: name for name in ("b_enc", "b_gate", "b_mag", "r_mag")},
        architecture=_architecture(kind, cfg, tensors),
        k=_k(cfg),
        subtract_b_dec=bool(subtract),
        rank_by_norm=bool(cfg.get("rescale_acts_by_decoder_norm", False)),
        normalize=_NORMALIZE[cfg.get("normalize_activations")],
        site=site,
        layer=layer,
        site_out=out,
        made_from=_origin(directory, cfg, str(meta.get("model_name", ""))),
    )


def _architecture(kind: str, cfg: Mapping[str, Any], tensors: Mapping[str, Any]) -> Architecture:
    if kind == "gated":
        return "gated"
    if "jumprelu" in kind or (kind in ("batchtopk", "matryoshka_batchtopk") and "threshold" in tensors):
        return "jumprelu"
    if kind == "topk":
        return "topk"
    if kind in ("standard", "transcoder", "skip_transcoder"):
        name = str(cfg.get("activation_fn", cfg.get("activation_fn_str", "relu")))
        if name in _ACTIVATIONS:
            return _ACTIVATIONS[name]
        raise RequestError(f"activation function {name!r} is not known; there is {', '.join(_ACTIVATIONS)}")
    raise RequestError(
        f"architecture {kind!r} is not read; there is standard, topk, jumprelu, gated and their transcoders"
    )


def _k(cfg: Mapping[str, Any]) -> int | None:
    kwargs = cfg.get("activation_fn_kwargs") or {}
    k = cfg.get("k", kwargs.get("k"))
    return None if k is None else int(k)


def _sparsify(directory: Path) -> Dictionary:
    cfg, tensors = _json(directory / "cfg.json"), files.read(directory / "sae.safetensors")[0]
    transcodes = bool(cfg.get("transcode"))
    site, layer = _where(directory.name, {})
    return _made(
        directory,
        {**tensors, "W_enc": _tensor(directory, tensors, "encoder.weight").T},
        {"W_enc": "W_enc", "W_dec": "W_dec", "b_enc": "encoder.bias", "b_dec": "b_dec", "W_skip": "W_skip"},
        architecture="topk",
        k=int(cfg["k"]) if "k" in cfg else None,
        subtract_b_dec=not transcodes,
        site=site,
        layer=layer,
        site_out=site if transcodes else None,
        made_from=_origin(directory, cfg, ""),
    )


def _gemma_scope(directory: Path) -> Dictionary:
    try:
        with np.load(directory / "params.npz", allow_pickle=False) as archive:
            tensors = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError) as error:
        raise RequestError(f"{directory / 'params.npz'} is no archive of plain arrays: {error}") from None
    layer = next(
        (int(part[6:]) for part in directory.parts[::-1] if part.startswith("layer_") and part[6:].isdigit()), 0
    )
    return _made(
        directory,
        {name.replace("w_", "W_"): value for name, value in tensors.items()},
        {name: name for name in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")},
        architecture="jumprelu",
        subtract_b_dec=False,
        layer=layer,
        made_from=_origin(directory, {}, ""),
    )


def _gemma_scope_2(directory: Path) -> Dictionary:
    cfg, tensors = _json(directory / "config.json"), files.read(directory / "params.safetensors")[0]
    site, layer = _where(cfg.get("hf_hook_point_in"), cfg)
    out = _where(cfg.get("hf_hook_point_out"), cfg)[0] if cfg.get("hf_hook_point_out") else None
    skip = tensors.get("affine_skip_connection")
    renamed = {**tensors, **({} if skip is None else {"W_skip": np.asarray(skip).T})}
    names = {"W_enc": "w_enc", "W_dec": "w_dec", "b_enc": "b_enc", "b_dec": "b_dec", "threshold": "threshold"}
    return _made(
        directory,
        renamed,
        {**names, "W_skip": "W_skip"},
        architecture="jumprelu",
        subtract_b_dec=False,
        site=site,
        layer=layer,
        site_out=None if out == site else out,
        made_from=_origin(directory, cfg, str(cfg.get("model_name", ""))),
    )


def _llama_scope(directory: Path) -> Dictionary:
    cfg = _json(directory / "hyperparams.json")
    tensors = files.read(directory / "checkpoints" / "final.safetensors")[0]
    norm = cfg.get("dataset_average_activation_norm", {}).get("in")
    if not isinstance(norm, int | float) or not norm > 0:
        raise RequestError(f"{directory / 'hyperparams.json'} gives no average norm of the activations")
    width = int(cfg["d_model"])
    bias = _tensor(directory, tensors, "encoder.bias")
    site, layer = _where(cfg.get("hook_point_in"), cfg)
    return _made(
        directory,
        {
            **tensors,
            "W_enc": _tensor(directory, tensors, "encoder.weight").T,
            "W_dec": _tensor(directory, tensors, "decoder.weight").T,
            "threshold": np.full(bias.shape, float(cfg.get("jump_relu_threshold", 0.0)), np.float32),
        },
        {
            "W_enc": "W_enc",
            "W_dec": "W_dec",
            "b_enc": "encoder.bias",
            "b_dec": "decoder.bias",
            "threshold": "threshold",
        },
        architecture="jumprelu",
        subtract_b_dec=False,
        scale=math.sqrt(width) / float(norm),
        site=site,
        layer=layer,
        made_from=_origin(directory, cfg, str(cfg.get("model_name", ""))),
    )


_READERS: dict[str, Callable[[Path], Dictionary]] = {
    "sae_weights.safetensors": _saelens,
    "sae.safetensors": _sparsify,
    "params.npz": _gemma_scope,
    "params.safetensors": _gemma_scope_2,
    "hyperparams.json": _llama_scope,
}


def _made(directory: Path, tensors: Mapping[str, Any], names: Mapping[str, str], **more: Any) -> Dictionary:
    """A dictionary from tensors under the names that a layout gives them; W_enc, W_dec and b_dec must be there."""
    found = {ours: np.asarray(tensors[theirs], np.float32) for ours, theirs in names.items() if theirs in tensors}
    for needed in ("W_enc", "W_dec", "b_dec"):
        _tensor(directory, found, needed)
    found.setdefault("b_enc", np.zeros(found["W_enc"].shape[-1], np.float32))
    if more["architecture"] != "jumprelu":
        found.pop("threshold", None)
    arguments: dict[str, Any] = {**found, **more}
    try:
        return Dictionary(**arguments)
    except RequestError as error:
        raise RequestError(f"{directory}: {error}") from None


def _tensor(directory: Path, tensors: Mapping[str, Any], name: str) -> Any:
    if name not in tensors:
        raise RequestError(f"{directory}: there is no tensor {name!r}, only {', '.join(sorted(tensors)) or 'none'}")
    return np.asarray(tensors[name], np.float32)


def _json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RequestError(f"{path} is missing beside the weights") from None
    except (OSError, ValueError) as error:
        raise RequestError(f"{path} is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise RequestError(f"{path} is not a configuration")
    return read


def _where(name: Any, cfg: Mapping[str, Any]) -> tuple[str, int]:
    """The site and layer that a configuration names; the stream at its layer when the name is of no site."""
    layer = cfg.get("hook_layer", cfg.get("hook_point_layer", 0))
    if not name:
        return "resid_post", int(layer)
    try:
        site, number = parse_site(str(name))
    except RequestError:
        digits = [int(part) for part in str(name).replace("L", ".").split(".") if part.isdigit()]
        return "resid_post", digits[0] if digits else int(layer)
    return site, int(layer) if number is None else number


def _origin(directory: Path, cfg: Mapping[str, Any], model: str) -> dict[str, Any]:
    """What is known of where a dictionary comes from: its configuration, and the manifest beside it."""
    file = directory / "manifest.json"
    manifest = checked(_json(file), str(file)) if file.is_file() else {}
    checkpoint = str(manifest.get("checkpoint", ""))
    told = {name: manifest[name] for name in ("recipe", "history") if name in manifest}
    return told | {
        "model": str(manifest.get("model", model)),
        "checkpoint": checkpoint,
        "cfg": dict(cfg),
        "manifest": manifest,
    }


_HOOKS = {"resid_pre": "hook_resid_pre", "resid_mid": "hook_resid_mid", "resid_post": "hook_resid_post"}
_HOOKS |= {
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "mlp_act": "mlp.hook_post",
    "head_out": "attn.hook_z",
}
_HOOKS |= {"ln_mlp": "ln2.hook_normalized", "ln_attn": "ln1.hook_normalized"}


def _saelens_cfg(made: Dictionary) -> dict[str, Any]:
    kinds = {"relu": "standard", "topk": "topk", "jumprelu": "jumprelu", "gated": "gated"}
    kind = kinds[made.architecture]
    if made.transcodes:
        plain = {"standard": "transcoder", "jumprelu": "jumprelu_transcoder"}
        if kind not in plain:
            raise RequestError(f"SAELens has no layout for a {made.architecture} transcoder")
        kind = plain[kind] if made.W_skip is None else plain[kind].replace("transcoder", "skip_transcoder")
    normalize = {"none": "none", "layer_norm": "layer_norm", "constant_norm": "constant_norm_rescale"}[made.normalize]
    metadata = {"model_name": made.made_from.get("model", ""), "hook_name": _hook(made.site, made.layer)}
    if made.site_out:
        metadata["hook_name_out"] = _hook(made.site_out, made.layer)
    cfg = {
        "architecture": kind,
        "d_in": made.width,
        "d_sae": made.latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": made.subtract_b_dec,
        "normalize_activations": normalize,
        "reshape_activations": "none",
        "metadata": metadata,
    }
    if made.architecture == "topk":
        cfg |= {"k": made.k, "rescale_acts_by_decoder_norm": made.rank_by_norm}
    return cfg | ({"d_out": int(made.W_dec.shape[1])} if made.transcodes else {})


def _saelens_tensors(made: Dictionary) -> dict[str, files.Array]:
    """The weights, scales of what is read and written folded in, as SAELens has no field for them."""
    scale, out = np.float32(made.scale), np.float32(made.scale if made.scale_out is None else made.scale_out)
    tensors = {"W_enc": made.W_enc * scale, "W_dec": made.W_dec / out, "b_dec": made.b_dec / out, "b_enc": made.b_enc}
    if made.subtract_b_dec and scale != out:
        raise RequestError("a dictionary that subtracts b_dec and has two scales cannot be written")
    for name in ("threshold", "b_gate", "b_mag", "r_mag"):
        if getattr(made, name) is not None:
            tensors[name] = getattr(made, name)
    if made.architecture == "gated":
        del tensors["b_enc"]
    if made.W_skip is not None:
        tensors["W_skip"] = made.W_skip * (scale / out)
    return tensors


def _hook(site: str, layer: int) -> str:
    if site not in _HOOKS:
        raise RequestError(f"a dictionary at {site!r} has no hook name; there is {', '.join(_HOOKS)}")
    return f"blocks.{layer}.{_HOOKS[site]}"


def _manifest(made: Dictionary) -> dict[str, Any]:
    from .. import __version__

    known = dict(made.made_from.get("manifest", {}))
    known |= {name: made.made_from[name] for name in ("recipe", "history") if name in made.made_from}
    return known | {
        "model": made.made_from.get("model", ""),
        "checkpoint": made.checkpoint,
        "site": made.site,
        "layer": made.layer,
        "site_out": made.site_out,
        "architecture": made.architecture,
        "latents": made.latents,
        "digest": made.digest,
        "versions": {"interp-magics": __version__},
    }
