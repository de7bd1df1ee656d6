"""Additions to the stream from tables of the compiled model: what edits give, without leaving a CUDA graph."""

import subprocess
import sys
from dataclasses import replace

import pytest

from interp_magics.program.language import At, Edit, Generated, Ids, Program, Prompt, Row, Sampling, Stage, Tap
from interp_magics.program.operations import Add
from tests.engine.cases import check_same, objects
from tests.engine.ranked import Case, run_on
from tests.engine.running import program, run, vector
from tests.vllm.side import Rounds, run_rounds
from tests.vllm.test_scheduling import OTHER, PROMPT, steer


def _several():
    """Rows that add the same, other strengths, other positions, at several places, and rows that add nothing."""
    rows = tuple(Row(Ids(tuple(ids)), Sampling(8)) for ids in (PROMPT, OTHER[:30], OTHER))
    layers = (steer(2.0, Prompt(), 0), steer(-3.0, Prompt(), 2), Edit("embed", 0, Add(vector("d"), 0.5), Prompt()))
    return [
        Program(rows, (Stage((), (_of_rows(steer(4.0), (0, 2)),)),)),
        program([PROMPT[:40]], (), layers, Sampling(8)),
        program([PROMPT[:40]], (), [steer(5.0, Generated())], Sampling(12)),
        program([OTHER[:50]], (), [steer(5.0, At((3, 17, -1)))], Sampling(6)),
        program([PROMPT], sampling=Sampling(8)),
    ]


def _of_rows(edit, rows):
    return Edit(edit.site, edit.layer, edit.op, edit.positions, rows)


@pytest.mark.parametrize("runner", ["first", "ahead"])
def test_slots_give_what_edits_give_and_steps_stay_in_their_graphs(runner, reference, root, tmp_path):
    served = reference("qwen3")
    vectors = objects(served.card)
    several = _several()
    strengths = [program([PROMPT], (), [steer(float(n), layer=2)], Sampling(6)) for n in range(1, 7)]
    read = [program([PROMPT], [Tap("resid_post")], [steer()], Sampling(4)), several[1]]
    rounds = [several, read, strengths, several, several[-1:]]
    cut = {"block_size": 32, "max_num_batched_tokens": 48, "max_num_seqs": 8}
    case = Rounds(root / "qwen3", rounds, vectors, cut, compiled=True, slots=4)
    told = run_rounds(tmp_path, replace(case, runner=runner))
    for programs, found in zip(rounds, told.outcomes, strict=True):
        for expected, one in zip(run(served, *programs, objects=vectors), found, strict=True):
            check_same(expected, one)
    assert [set(steps) for steps in told.ungraphed[::3]] == [{False}, {False}]
    assert all(True in steps for steps in told.ungraphed[1:3])
    assert set(told.ungraphed[4]) == {False}


def test_slots_of_two_ranks_give_what_edits_give(reference, root, tmp_path):
    served = reference("llama")
    vectors = objects(served.card)
    case = Case(root / "llama", _several(), vectors, engine="vllm", compiled=True, slots=4)
    (found,) = run_on(2, tmp_path, [case])
    for expected, one in zip(run(served, *_several(), objects=vectors), found, strict=True):
        check_same(expected, one)


_LOAD = """
import sys
from interp_magics.engine.vllm_engine.tables import Tables
from interp_magics.launch.config import ModelSpec

add = Tables.add
def twice(tables, address, value):
    add(tables, address, value)
    add(tables, address, value)
Tables.add = twice
from interp_magics.engine.vllm_engine.load import load

engine = load(ModelSpec("x", sys.argv[1], engine="vllm", compiled=True, steering_slots=2))
print("slots:", engine._flight.tables.used, engine.card.remarks)
engine.close()
"""


def test_slots_that_do_not_give_what_edits_give_are_left_alone(reference, root):
    reference("qwen3")
    command = [sys.executable, "-c", _LOAD, str(root / "qwen3")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    (told,) = [line for line in done.stdout.splitlines() if line.startswith("slots:")]
    assert told == "slots: False ('steering slots are not used, but edits: the two do not give the same here',)"
