import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_magics.data import files, results
from interp_magics.data.vectors import SteeringVector
from interp_magics.errors import RequestError

TENSORS = {
    "a": np.arange(6, dtype=np.int32).reshape(2, 3),
    "b": np.linspace(0, 1, 4).astype(ml_dtypes.bfloat16),
    "c": np.zeros((0, 5), np.float32),
}


def test_what_is_encoded_is_decoded_bfloat16_too():
    tensors, meta = files.decode(files.encode(TENSORS, {"kind": "x", "ü": [1, None]}))
    assert meta == {"kind": "x", "ü": [1, None]}
    for name, value in TENSORS.items():
        assert tensors[name].dtype == value.dtype and np.array_equal(tensors[name], value)


def test_the_same_content_has_the_same_bytes():
    assert files.encode(TENSORS, {"k": 1}) == files.encode(dict(reversed(TENSORS.items())), {"k": 1})


@given(st.integers(0, 400), st.binary(max_size=3))
def test_a_truncated_or_damaged_file_is_refused_and_never_crashes(cut, junk):
    data = files.encode(TENSORS, {"kind": "x"})
    try:
        files.decode(data[:cut] + junk)
    except RequestError:
        return
    assert cut >= 8


def test_a_foreign_file_is_named(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(files.encode(TENSORS, {"kind": "who knows"}))
    with pytest.raises(RequestError, match=r"x\.safetensors was not written by interp-magics"):
        results.load(path)
    with pytest.raises(RequestError, match="there is no file"):
        results.load(tmp_path / "none")


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*names):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write(tmp_path / "x", b"data")
    assert list(tmp_path.iterdir()) == []


def test_a_vector_survives_its_file_and_its_digest_is_its_content(tmp_path):
    vector = SteeringVector({2: np.ones(4), 5: np.arange(4)}, "resid_mid", "mood")
    loaded = results.load(vector.save(tmp_path / "v.safetensors"))
    assert loaded.digest == vector.digest and loaded.site == "resid_mid" and loaded.name == "mood"
    assert (vector * 2).digest != vector.digest


@pytest.mark.parametrize("bad", [[1.0, float("nan")], [[1.0]], []])
def test_a_direction_that_is_not_one_finite_vector_is_refused(bad):
    with pytest.raises(RequestError):
        SteeringVector({0: np.array(bad)} if bad else {})
