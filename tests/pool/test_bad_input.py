"""DESIGN section 10, line by line: an error before work is paid for, nothing lost, the pool unharmed."""

import numpy as np
import pytest

import interp_magics as im
from interp_magics.program.language import Edit, Span
from interp_magics.program.operations import Set, Stored

LONG = list(range(100)) * 2


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda p: p.lens("x", model="qwen2"), "does not serve 'qwen2'; did you mean 'qwen3'"),
        (lambda p: p.lens("x", sites="resid_pst"), "did you mean 'resid_post'"),
        (lambda p: p.lens("x", sites="q"), "as wide as the stream"),
        (lambda p: p.lens("x", sites="embed,resid_post"), "different numbers of layers"),
        (lambda p: p.lens("x", layers="3"), "layer 3 does not exist"),
        (lambda p: p.lens("x", kind="tuned"), "unknown lens kind 'tuned'"),
        (lambda p: p.lens("x", positions="al"), "did you mean 'all'"),
        (lambda p: p.lens("x", positions=99), "outside the prompt"),
        (lambda p: p.lens("x", positions=Span("nowhere")), "does not occur"),
        (lambda p: p.lens(LONG), "over the context of qwen3, 128"),
        (lambda p: p.lens("x", generate=200), "over the context"),
        (lambda p: p.lens("y " * 300), "over the context"),
        (lambda p: p.lens(""), "empty"),
        (lambda p: p.lens([]), "no text"),
        (lambda p: p.lens([0, 389]), "token id 389 is outside the vocabulary"),
        (lambda p: p.lens("x", top_k=390), "top_k must be between 1 and the vocabulary"),
        (lambda p: p.lens("x", top_k=0), "top_k"),
        (lambda p: p.lens("x", track="two words"), "is not one token but"),
        (lambda p: p.lens("x", track=4000), "outside the vocabulary"),
        (lambda p: p.generate("x", 0), "at least 1"),
        (lambda p: p.generate("x", temperature=float("nan")), "finite"),
        (lambda p: p.generate("x", top_p=0), "top_p"),
        (
            lambda p: p.generate("x", steer=im.SteeringVector({0: np.ones(7)})),
            "width 7, but 'resid_post' of qwen3 has 48",
        ),
        (lambda p: p.generate("x", steer=im.SteeringVector({9: np.ones(48)})), "layer 9"),
        (lambda p: p.generate("x", steer="mood"), "vectors and edits"),
        (lambda p: p.generate("x", steer=Edit("attn_pattern", 0, Set(Stored("a" * 64, "v")))), "read but not written"),
        (lambda p: p.generate("x", steer=Edit("q", 0, Set(Stored("a" * 64, "v")))), "does not bring"),
        (lambda p: p.lens("x", priority="urgent"), "unknown priority 'urgent'"),
        (lambda p: p.capture("x", dtype="float8"), "unknown dtype"),
        (lambda p: p.capture("x", sites="mlp_act,mlp_act"), None),
        (lambda p: p.lens(3.5), "a text is"),
        (lambda p: p.lens([{"role": "user"}]), "'role' and 'content'"),
        (lambda p: p.job("nothing0"), "no job"),
        (lambda p: p.use("nothing"), "does not serve"),
        (lambda p: p.request("lense", "x"), "did you mean 'lens'"),
    ],
)
def test_a_request_that_is_wrong_says_what_and_what_to_do(pool, call, says):
    if says is None:
        call(pool)
        return
    with pytest.raises(im.RequestError, match=says.replace("(", r"\(")):
        call(pool)


def test_a_direction_that_is_not_finite_never_leaves_the_notebook():
    with pytest.raises(im.RequestError, match="finite"):
        im.SteeringVector({0: np.array([1.0, np.nan])})


def test_a_capture_larger_than_the_quota_is_refused_with_its_size(pool, monkeypatch):
    from interp_magics.wire.standing import Limits

    monkeypatch.setattr(type(pool), "limits", Limits(result_bytes=1000))
    with pytest.raises(im.RequestError, match=r"GB; choose fewer layers"):
        pool.estimate(pool.request("capture", ["The quick brown fox"]))


@pytest.mark.parametrize(
    "options, said",
    [
        ({"model": "./nowhere"}, "no model directory"),
        ({"model": ""}, "no model directory"),
        ({"dtype": "fp8"}, "unknown dtype 'fp8'"),
        ({"threads": 0}, "threads must be 1"),
        ({"tp": 0}, "one rank or more"),
    ],
)
def test_a_pool_that_cannot_be_is_refused_at_once(options, said, own):
    with pytest.raises(im.RequestError, match=said):
        im.connect(**options)
    assert own() == []


def test_an_address_or_file_that_is_none_is_explained(tmp_path):
    with pytest.raises(im.RequestError, match="neither a pool's address"):
        im.connect(tmp_path / "none")
    with pytest.raises(im.RequestError, match="tcp://host:port"):
        im.connect("udp://somewhere:1#key=x")
    with pytest.raises(im.RequestError, match="damaged"):
        im.connect("tcp://127.0.0.1:1#key=AAAA")


def test_a_model_that_cannot_be_served_fails_its_jobs_with_the_reason(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with im.connect(model=str(tmp_path)) as pool, pytest.raises(im.RemoteError, match="could not be loaded"):
        pool.lens("x", timeout=120)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda p: p.lens("a", k=3), "there is|did you mean"),
        (lambda p: p.lens("a", layer=3), "did you mean 'layers'"),
        (lambda p: p.capture("a", site="x"), "did you mean 'sites'"),
    ],
)
def test_an_unknown_argument_names_those_of_the_call(call, said, pool):
    with pytest.raises(TypeError, match=said):
        call(pool)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda p: p.lens("a", top_k=5.0), "top_k is a whole number"),
        (lambda p: p.lens("a", top_k="5"), "top_k is a whole number"),
        (lambda p: p.lens("a", keep="10m"), "keep is a whole number"),
        (lambda p: p.lens("a", generate=True), "whole number"),
        (lambda p: p.generate("a", 1, seed=2**64), "below 2"),
        (lambda p: p.lens("a", temperature="hot", generate=1), "temperature is a number"),
        (lambda p: p.lens("a", positions="generated"), "nothing is generated"),
        (lambda p: p.lens("a", positions=0.5), "positions are"),
        (lambda p: p.lens(["ok", ""]), "text 1 of the list"),
        (lambda p: p.lens(["ok", list(range(300))]), "text 1 of the list|over the context"),
        (lambda p: p.lens("a\ud800"), "surrogate"),
        (lambda p: p.lens("a", wait=False, timeout=1), "job.result"),
        (lambda p: p.lens("a", model=""), "does not serve ''|Expected"),
        (lambda p: p.decode(p.lens("a"), 3), "is one text"),
        (lambda p: p.lens("a", steer=im.SteeringVector({1: np.ones(48)}).edit(op="project")), "unknown op"),
        (lambda p: p.lens("a", steer=im.SteeringVector({1: np.ones(48)}).edit(unit="straem")), "unknown unit"),
        (lambda p: im.SteeringVector(np.ones(48)), "directions by layer"),
        (lambda p: p.run({"rows": []}), "takes a Program"),
    ],
)
def test_a_wrong_type_is_the_users_fault_and_told_so(call, said, pool):
    with pytest.raises(im.RequestError, match=said):
        call(pool)
