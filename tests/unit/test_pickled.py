"""dictionary_learning's files, opened as tensors alone and beside the formulas of its classes."""

import json
import pickle

import numpy as np
import pytest
import torch

import interp_magics as im
from interp_magics.cli import main

D, M = 6, 10


def weights(kind):
    draw = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=draw)

    linear = {"encoder.weight": normal(M, D), "encoder.bias": normal(M), "decoder.weight": normal(D, M)}
    plain = {"W_enc": normal(D, M), "W_dec": normal(M, D), "b_enc": normal(M), "b_dec": normal(D)}
    return {
        "AutoEncoder": {**linear, "bias": normal(D)},
        "AutoEncoderTopK": {**linear, "b_dec": normal(D), "k": torch.tensor(3), "threshold": torch.tensor(-1.0)},
        "BatchTopKSAE": {**linear, "b_dec": normal(D), "k": torch.tensor(3), "threshold": torch.tensor(0.7)},
        "JumpReluAutoEncoder": {**plain, "threshold": torch.rand(M, generator=draw)},
        "MatryoshkaBatchTopKSAE": {
            **plain,
            "k": torch.tensor(3),
            "threshold": torch.tensor(0.4),
            "group_sizes": torch.tensor([4, 6]),
        },
        "GatedAutoEncoder": {
            "decoder_bias": normal(D),
            "r_mag": normal(M),
            "gate_bias": normal(M),
            "mag_bias": normal(M),
            "encoder.weight": normal(M, D),
            "decoder.weight": normal(D, M),
        },
    }[kind]


def theirs(kind, w, x):
    """What the library's own classes compute (dictionary.py, trainers/top_k.py, batch_top_k.py, matryoshka_batch_top_k.py)."""
    if kind == "AutoEncoder":
        f = ((x - w["bias"]) @ w["encoder.weight"].T + w["encoder.bias"]).relu()
        return f @ w["decoder.weight"].T + w["bias"]
    if kind in ("AutoEncoderTopK", "BatchTopKSAE"):
        f = ((x - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"]).relu()
        if kind == "BatchTopKSAE":
            f = f * (f > w["threshold"])
        else:
            top = f.topk(3, 1)
            f = torch.zeros_like(f).scatter_(1, top.indices, top.values)
        return f @ w["decoder.weight"].T + w["b_dec"]
    if kind == "GatedAutoEncoder":
        inner = (x - w["decoder_bias"]) @ w["encoder.weight"].T
        f = (inner + w["gate_bias"] > 0) * (inner * w["r_mag"].exp() + w["mag_bias"]).relu()
        return f @ w["decoder.weight"].T + w["decoder_bias"]
    h = (x if kind == "JumpReluAutoEncoder" else x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    f = h.relu() * (h > w["threshold"])
    return f @ w["W_dec"] + w["b_dec"]


def written(directory, kind, tensors, **config):
    directory.mkdir()
    torch.save(tensors, directory / "ae.pt")
    trainer = {"dict_class": kind, "layer": 3, "lm_name": "gpt2", **config}
    (directory / "config.json").write_text(json.dumps({"trainer": trainer}))
    return directory


@pytest.mark.parametrize(
    "kind",
    [
        "AutoEncoder",
        "AutoEncoderTopK",
        "BatchTopKSAE",
        "JumpReluAutoEncoder",
        "MatryoshkaBatchTopKSAE",
        "GatedAutoEncoder",
    ],
)
def test_each_class_reconstructs_as_the_library_does(kind, tmp_path, capsys):
    tensors = weights(kind)
    main(["convert-sae", str(written(tmp_path / "theirs", kind, tensors)), str(tmp_path / "ours")])
    made = im.load_sae(tmp_path / "ours")
    x = torch.randn(20, D, generator=torch.Generator().manual_seed(2))
    assert np.allclose(made.reconstruct(x.numpy()), theirs(kind, tensors, x).numpy(), atol=1e-5)
    assert made.layer == 3 and "10 latents of 6" in capsys.readouterr().out


class Bomb:
    def __reduce__(self):
        return print, ("this must never be run",)


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    directory = written(tmp_path / "bad", "AutoEncoder", {})
    (directory / "ae.pt").write_bytes(pickle.dumps({"bias": Bomb()}))
    with pytest.raises(SystemExit):
        main(["convert-sae", str(directory), str(tmp_path / "out")])
    told = capsys.readouterr()
    assert "cannot be opened as tensors alone" in told.err and "this must never be run" not in told.out + told.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("AutoEncodr", {}, "unknown class of dictionary 'AutoEncodr'; did you mean 'AutoEncoder'"),
        ("AutoEncoder", {"bias": None}, "there is no tensor 'bias'"),
        ("BatchTopKSAE", {"threshold": torch.tensor(-1.0)}, "its threshold was never set"),
        ("AutoEncoder", {"bias": torch.zeros(5)}, "b_dec has shape"),
    ],
)
def test_what_is_malformed_is_said_in_one_line(kind, change, says, tmp_path, capsys):
    tensors = {**weights(kind if kind != "AutoEncodr" else "AutoEncoder"), **change}
    tensors = {name: value for name, value in tensors.items() if value is not None}
    with pytest.raises(SystemExit):
        main(["convert-sae", str(written(tmp_path / "bad", kind, tensors)), str(tmp_path / "out")])
    assert says in capsys.readouterr().err
    with pytest.raises(im.RequestError, match="interp convert-sae"):
        im.load_sae(tmp_path / "bad")
