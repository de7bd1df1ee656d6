"""Programs are plain data: they survive the wire, and nothing that is not declared does."""

import msgspec
import pytest

from interp_magics.errors import RequestError
from interp_magics.program.language import (
    After,
    At,
    Edit,
    Ids,
    Lens,
    Plain,
    Program,
    Row,
    Sampling,
    Span,
    Stage,
    Tap,
    digests,
)
from interp_magics.program.operations import Add, Clamp, Copy, Ref, Stored

PROGRAM = Program(
    (Row(Plain("a"), Sampling(3, 0.5, seed=2**53 - 1)), Row(Ids((1, 2)))),
    (
        Stage((Tap("resid_post", (1,), Span("x"), reduce=None, keep="k"),)),
        Stage(
            (Tap("mlp_out", reduce=Lens(top_k=3, track=(1,))),),
            (Edit("resid_mid", 0, Add(Ref("k", 1))), Edit("q", 1, Copy(1, ((0, 1),)), At((0,)), index=(0,))),
        ),
    ),
)


def test_a_program_survives_json():
    assert msgspec.json.decode(msgspec.json.encode(PROGRAM), type=Program) == PROGRAM


def test_fields_and_kinds_that_are_not_declared_are_refused():
    data = msgspec.json.decode(msgspec.json.encode(PROGRAM))
    data["stages"][0]["taps"][0]["hook"] = "import os"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(data, Program)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(
            b'{"rows":[],"stages":[{"edits":[{"site":"q","layer":0,"op":{"type":"eval"}}]}]}', type=Program
        )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused_at_construction(number):
    with pytest.raises(RequestError):
        Add(Ref("k", 0), number)
    with pytest.raises(RequestError):
        Clamp(Ref("k", 0), low=number)
    with pytest.raises(RequestError):
        Sampling(1, number)


@pytest.mark.parametrize(
    "fields", [{"max_new_tokens": 0}, {"top_p": 0.0}, {"top_p": 1.1}, {"temperature": -1.0}, {"stop": ("",)}]
)
def test_sampling_that_means_nothing_is_refused(fields):
    with pytest.raises(RequestError):
        Sampling(**{"max_new_tokens": 1, **fields})


def test_digests_are_found_however_deep():
    edit = Edit("q", 0, Add(Stored("a" * 64, "x")))
    assert digests([Stage(edits=(edit,)), After(3)]) == {"a" * 64}
