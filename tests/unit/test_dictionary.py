"""Dictionaries: what each architecture computes, and files of several layouts, against formulas written out here."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import interp_magics as im
from interp_magics.data.dictionary import Dictionary

D, M, N = 12, 40, 30


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def weights(draw):
    return {
        "W_enc": draw.standard_normal((D, M)).astype(np.float32),
        "W_dec": draw.standard_normal((M, D)).astype(np.float32),
        "b_enc": draw.standard_normal(M).astype(np.float32),
        "b_dec": draw.standard_normal(D).astype(np.float32),
    }


def close(ours, theirs):
    assert np.allclose(ours, theirs, atol=1e-4), np.abs(np.asarray(ours) - theirs).max()


def exact(w):
    return {name: value.astype(np.float64) for name, value in w.items()}


def test_relu_is_the_seed_guides_formula(draw):
    w, x = weights(draw), draw.standard_normal((N, D))
    e = exact(w)
    f = np.maximum((x - e["b_dec"]) @ e["W_enc"] + e["b_enc"], 0)
    made = Dictionary(**w)
    close(made.encode(x), f)
    close(made.reconstruct(x), f @ e["W_dec"] + e["b_dec"])
    close(made.decode(made.encode(x)), made.reconstruct(x))


def test_jumprelu_keeps_what_is_above_its_threshold(draw):
    w, x = weights(draw), draw.standard_normal((N, D))
    e, threshold = exact(w), draw.uniform(0, 3, M)
    h = x @ e["W_enc"] + e["b_enc"]
    made = Dictionary(**w, architecture="jumprelu", threshold=threshold, subtract_b_dec=False)
    close(made.encode(x), np.where(h > threshold, np.maximum(h, 0), 0))


@pytest.mark.parametrize("by_norm", [False, True])
def test_topk_keeps_the_k_largest(draw, by_norm):
    w, x = weights(draw), draw.standard_normal((N, D))
    e = exact(w)
    h = np.maximum((x - e["b_dec"]) @ e["W_enc"] + e["b_enc"], 0)
    rank = h * np.linalg.norm(e["W_dec"], axis=1) if by_norm else h
    f = Dictionary(**w, architecture="topk", k=5, rank_by_norm=by_norm).encode(x)
    for row in range(N):
        kept = np.flatnonzero(f[row])
        assert set(kept) == set(np.argsort(-rank[row])[:5])
        close(f[row, kept], h[row, kept])


def test_gated_opens_by_one_path_and_measures_by_the_other(draw):
    w, x = weights(draw), draw.standard_normal((N, D))
    e, gates = exact(w), {name: draw.standard_normal(M) for name in ("b_gate", "b_mag", "r_mag")}
    h = (x - e["b_dec"]) @ e["W_enc"]
    f = (h + gates["b_gate"] > 0) * np.maximum(h * np.exp(gates["r_mag"]) + gates["b_mag"], 0)
    close(Dictionary(**w, architecture="gated", **gates).encode(x), f)


def test_a_scale_and_a_norm_are_undone(draw):
    w, x = weights(draw), draw.standard_normal((N, D)) * 3 + 1
    e = exact(w)
    f = np.maximum((2 * x - e["b_dec"]) @ e["W_enc"] + e["b_enc"], 0)
    close(Dictionary(**w, scale=2.0).reconstruct(x), (f @ e["W_dec"] + e["b_dec"]) / 2)
    norm = np.linalg.norm(x, axis=1, keepdims=True) / D**0.5
    f = np.maximum((x / norm - e["b_dec"]) @ e["W_enc"] + e["b_enc"], 0)
    close(Dictionary(**w, normalize="constant_norm").reconstruct(x), (f @ e["W_dec"] + e["b_dec"]) * norm)


def test_a_latent_is_a_steering_vector_where_the_dictionary_writes(draw):
    w = weights(draw)
    made = Dictionary(**w, site="resid_post", layer=3, made_from={"checkpoint": "c" * 64})
    vector = made.vector(7, 2.0)
    assert np.allclose(vector.directions[3], 2 * w["W_dec"][7]) and vector.checkpoint == "c" * 64
    with pytest.raises(im.RequestError, match="no latent 40: the dictionary has 0 to 39"):
        made.vector(40)


CASES = {
    "relu": {},
    "topk": {"architecture": "topk", "k": 6, "rank_by_norm": True},
    "jumprelu": {"architecture": "jumprelu", "threshold": np.full(M, 0.5), "subtract_b_dec": False},
    "scaled": {"architecture": "jumprelu", "threshold": np.full(M, 0.5), "subtract_b_dec": False, "scale": 3.0},
    "normal": {"normalize": "layer_norm"},
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_saved_computes_the_same_when_it_is_read(draw, tmp_path, case):
    made = Dictionary(
        **weights(draw), **CASES[case], site="mlp_out", layer=4, made_from={"model": "m", "checkpoint": "a" * 64}
    )
    x = draw.standard_normal((N, D))
    made.save(tmp_path / "sae")
    again = im.load_sae(tmp_path / "sae")
    close(again.reconstruct(x), made.reconstruct(x))
    assert (again.site, again.layer, again.checkpoint) == ("mlp_out", 4, "a" * 64)
    with pytest.raises(im.RequestError, match="exists already"):
        made.save(tmp_path / "sae")


def test_a_dictionary_of_another_checkpoint_is_refused_unless_forced(draw, tmp_path):
    Dictionary(**weights(draw), made_from={"model": "pythia", "checkpoint": "a" * 64}).save(tmp_path / "sae")
    with pytest.raises(im.RequestError, match=r"trained on checkpoint aaaaaaaaaaaaaaaa \(pythia\).*force=True"):
        im.load_sae(tmp_path / "sae", checkpoint="b" * 64)
    assert im.load_sae(tmp_path / "sae", checkpoint="b" * 64, force=True).latents == M


def write(directory: Path, cfg: str, configuration, file: str, tensors) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / cfg).write_text(json.dumps(configuration))
    (directory / file).parent.mkdir(exist_ok=True)
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, directory / file)
    return directory


def test_an_older_saelens_configuration_is_read(draw, tmp_path):
    w, x = weights(draw), draw.standard_normal((N, D))
    cfg = {
        "architecture": "standard",
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 4},
        "hook_point": "blocks.5.hook_resid_pre",
        "normalize_activations": False,
        "apply_b_dec_to_input": True,
    }
    made = im.load_sae(write(tmp_path / "old", "cfg.json", cfg, "sae_weights.safetensors", w))
    assert (made.architecture, made.k, made.site, made.layer) == ("topk", 4, "resid_pre", 5)
    assert (np.count_nonzero(made.encode(x), axis=1) <= 4).all()


def test_sparsify_is_read_with_its_rows_as_they_lie(draw, tmp_path):
    w, x = weights(draw), draw.standard_normal((N, D))
    e = exact(w)
    tensors = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "W_dec": w["W_dec"], "b_dec": w["b_dec"]}
    cfg = {"k": M, "num_latents": 0, "expansion_factor": 4, "d_in": D}
    made = im.load_sae(write(tmp_path / "layers.7", "cfg.json", cfg, "sae.safetensors", tensors))
    assert (made.latents, made.layer, made.site) == (M, 7, "resid_post")
    close(made.encode(x), np.maximum((x - e["b_dec"]) @ e["W_enc"] + e["b_enc"], 0))


def test_gemma_scope_is_read_without_subtracting_its_bias(draw, tmp_path):
    w, x = weights(draw), draw.standard_normal((N, D))
    e, threshold = exact(w), draw.uniform(0, 2, M).astype(np.float32)
    directory = tmp_path / "layer_20" / "width_16k" / "average_l0_71"
    directory.mkdir(parents=True)
    np.savez(directory / "params.npz", threshold=threshold, **w)
    made = im.load_sae(directory)
    h = x @ e["W_enc"] + e["b_enc"]
    close(made.encode(x), np.where(h > threshold, np.maximum(h, 0), 0))
    assert made.layer == 20


def test_gemma_scope_2_transcodes_with_a_straight_path(draw, tmp_path):
    w, x = weights(draw), draw.standard_normal((N, D))
    e, threshold, skip = exact(w), draw.uniform(0, 2, M), draw.standard_normal((D, D))
    tensors = {
        "w_enc": w["W_enc"],
        "w_dec": w["W_dec"],
        "b_enc": w["b_enc"],
        "b_dec": w["b_dec"],
        "threshold": threshold.astype(np.float32),
        "affine_skip_connection": skip.astype(np.float32),
    }
    cfg = {"hf_hook_point_in": "model.layers.3.post_attention_layernorm", "hf_hook_point_out": "model.layers.3.mlp"}
    made = im.load_sae(write(tmp_path / "g2", "config.json", cfg, "params.safetensors", tensors))
    h = x @ e["W_enc"] + e["b_enc"]
    f = np.where(h > threshold, np.maximum(h, 0), 0)
    close(made.reconstruct(x), f @ e["W_dec"] + e["b_dec"] + x @ skip)
    assert (made.layer, made.site_out) == (3, "mlp_out")


def test_llama_scope_is_scaled_by_the_norm_of_its_data(draw, tmp_path):
    w, x = weights(draw), draw.standard_normal((N, D))
    e = exact(w)
    tensors = {
        "encoder.weight": w["W_enc"].T,
        "encoder.bias": w["b_enc"],
        "decoder.weight": w["W_dec"].T,
        "decoder.bias": w["b_dec"],
    }
    cfg = {
        "d_model": D,
        "d_sae": M,
        "jump_relu_threshold": 0.7,
        "dataset_average_activation_norm": {"in": 5.0},
        "hook_point_in": "blocks.9.hook_resid_post",
    }
    made = im.load_sae(write(tmp_path / "ls", "hyperparams.json", cfg, "checkpoints/final.safetensors", tensors))
    scale = D**0.5 / 5
    h = scale * x @ e["W_enc"] + e["b_enc"]
    close(made.reconstruct(x), (np.where(h > 0.7, h, 0) @ e["W_dec"] + e["b_dec"]) / scale)
    assert (made.site, made.layer) == ("resid_post", 9)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"W_dec": np.zeros((M, D + 1), np.float32)}, "b_dec has shape"),
        ({"b_enc": np.full(M, np.nan, np.float32)}, "not finite"),
        ({"threshold": np.zeros(3, np.float32)}, "threshold has shape"),
    ],
)
def test_weights_that_do_not_belong_together_are_refused(draw, tmp_path, change, says):
    cfg = {"architecture": "jumprelu", "normalize_activations": "none", "hook_name": "blocks.0.hook_resid_post"}
    tensors = {**weights(draw), "threshold": np.zeros(M, np.float32), **change}
    with pytest.raises(im.RequestError, match=says):
        im.load_sae(write(tmp_path / "bad", "cfg.json", cfg, "sae_weights.safetensors", tensors))


def test_what_is_no_dictionary_says_what_was_looked_for(draw, tmp_path):
    with pytest.raises(im.RequestError, match="holds no dictionary: looked for sae_weights"):
        im.load_sae(tmp_path)
    (tmp_path / "ae.pt").write_bytes(b"\x80\x04")
    with pytest.raises(im.RequestError, match="pickled weights"):
        im.load_sae(tmp_path)
    (tmp_path / "params.npz").write_bytes(b"PK")
    with pytest.raises(im.RequestError, match="no archive of plain arrays"):
        im.load_sae(tmp_path)
    cfg = {"architecture": "temporal", "normalize_activations": "none"}
    with pytest.raises(im.RequestError, match="architecture 'temporal' is not read"):
        im.load_sae(write(tmp_path / "t", "cfg.json", cfg, "sae_weights.safetensors", weights(draw)))


def test_pickled_arrays_are_not_opened(tmp_path):
    np.savez(tmp_path / "params.npz", W_enc=np.array([{"a": 1}], dtype=object))
    with pytest.raises(im.RequestError, match="no archive of plain arrays"):
        im.load_sae(tmp_path)
