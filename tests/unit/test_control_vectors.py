"""Control vectors of llama.cpp: written as its own library reads them, read whoever wrote them."""

import gguf
import numpy as np
import pytest

import interp_magics as im

VECTOR = im.SteeringVector({1: np.arange(8.0), 3: -np.arange(8.0)}, "resid_post", "mood", {"checkpoint": "c"})


def test_it_is_what_the_format_says(tmp_path):
    found = gguf.GGUFReader(VECTOR.to_gguf(tmp_path / "mood.gguf", "llama"))
    assert bytes(found.get_field("general.architecture").parts[-1]) == b"controlvector"
    assert bytes(found.get_field("controlvector.model_hint").parts[-1]) == b"llama"
    assert found.get_field("controlvector.layer_count").parts[-1][0] == 2
    assert {one.name: one.tensor_type.name for one in found.tensors} == {"direction.1": "F32", "direction.3": "F32"}
    assert np.array_equal(found.tensors[1].data, VECTOR.directions[3])


def test_it_is_read_again_without_its_checkpoint(tmp_path):
    found = im.load(VECTOR.to_gguf(tmp_path / "mood.gguf", "llama"))
    assert (found.name, found.site, found.checkpoint, found.made_from["model_hint"]) == (
        "mood",
        "resid_post",
        "",
        "llama",
    )
    assert all(np.array_equal(found.directions[layer], VECTOR.directions[layer]) for layer in (1, 3))


def _other(path, name="direction.2", architecture="controlvector"):
    made = gguf.GGUFWriter(path, architecture)
    made.add_tensor(name, np.ones(4, np.float32))
    for step in (made.write_header_to_file, made.write_kv_data_to_file, made.write_tensors_to_file, made.close):
        step()
    return path


def test_one_of_another_hand_is_read(tmp_path):
    assert list(im.load(_other(tmp_path / "x.gguf")).directions) == [2]


@pytest.mark.parametrize(
    "make, why",
    [
        (lambda path: im.SteeringVector({0: np.ones(4)}).to_gguf(path), "nothing after block 0"),
        (lambda path: im.SteeringVector({1: np.ones(4)}, "mlp_out").to_gguf(path), "at 'resid_post', not at 'mlp_out'"),
        (lambda path: im.load(path), "there is no file"),
        (lambda path: im.load(_other(path, "token_embd.weight")), "it has a tensor 'token_embd.weight'"),
        (lambda path: im.load(_other(path, architecture="llama")), "no control vector but llama"),
        (lambda path: im.load(_other(path, "direction.one")), "is no control vector"),
        (lambda path: (path.write_bytes(b"GGUF" + bytes(60)), im.load(path)), "is no control vector"),
        (lambda path: (path.write_bytes(_other(path).read_bytes()[:-20]), im.load(path)), "is no control vector"),
        (lambda path: (path.write_bytes(b""), im.load(path)), "is no control vector"),
    ],
)
def test_what_cannot_be_is_told(make, why, tmp_path):
    with pytest.raises(im.RequestError, match=why):
        make(tmp_path / "x.gguf")
