"""Prompts read in pieces, once where rows begin alike, and lenses decoded on the way: the same as in one pass."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp_magics.engine.execution import reading
from interp_magics.engine.execution.records import Record
from interp_magics.engine.protocol import Collecting, NoObjects, Task, collect
from interp_magics.engine.transformers_engine import prefill
from interp_magics.engine.transformers_engine.course import Course
from interp_magics.engine.transformers_engine.prefill import Cut, best_cut, pieces
from interp_magics.program.language import (
    After,
    At,
    Edit,
    Generated,
    Ids,
    Last,
    Lens,
    Positions,
    Program,
    Row,
    Sampling,
    Stage,
    Tap,
    replace,
)
from interp_magics.program.operations import Add
from tests.engine.running import program, raw, run, stored, vector

NAMES = ["llama", "qwen3", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "mistral", "olmo2"]
BEGIN = [0, 17, 44, 9, 120, 301, 77, 3, 90, 91, 92, 93, 60, 61, 62, 63]
PROMPTS = [[*BEGIN, 5, 6], [*BEGIN, 5, 6], [*BEGIN, 7], [*BEGIN, 5, 6], [*BEGIN, 8, 9, 10]]
TAPS = [Tap("resid_post"), Tap("mlp_out"), Tap("q")]
LENSES = [
    Tap("resid_post", reduce=Lens(track=(7,))),
    Tap("resid_pre", positions=At((1, 12, -1)), reduce=Lens(track=(7,))),
]

_PROMPTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=6)


@given(_PROMPTS, st.data())
def test_every_row_reads_its_prompt_once_and_in_order(prompts, data):
    """Following a row through the pieces gives its tokens at their positions, and the columns that its mask shows are them."""
    clean = [data.draw(st.integers(0, len(ids))) for ids in prompts]
    cut = best_cut(prompts, clean)
    read = [[] for _ in prompts]
    columns = [[] for _ in prompts]
    for piece in pieces(dict(enumerate(prompts)), cut, -1, data.draw(st.integers(1, 40))):
        if piece.spread is not None:
            by_leader = [columns[leader] for leader in cut.leaders]
            columns = [list(by_leader[place]) for place in piece.spread]
        for row in range(len(prompts)):
            index = piece.call.index(row)
            if index is not None:
                pad = piece.call.columns[index]
                assert piece.call.starts[index] == len(read[row]) or pad == piece.call.width
                read[row] += piece.ids[index, pad:].tolist()
                assert (
                    piece.call.positions()[index, pad:].tolist()
                    == list(range(piece.call.stop(index)))[len(read[row]) - (piece.call.width - pad) :]
                )
        for index, member in enumerate(piece.call.members):
            columns[member] = columns[member] + piece.ids[index].tolist()
            shown = [t for t, real in zip(columns[member], piece.mask[index], strict=True) if real]
            assert shown == read[member]
    assert read == [list(ids) for ids in prompts]
    if cut is not None:
        for row, leader in enumerate(cut.leaders[place] for place in cut.follows):
            shared = max(0, len(prompts[row]) - cut.suffix)
            assert shared <= clean[row] and prompts[row][:shared] == prompts[leader][:shared]


def test_a_sweep_computes_its_prompt_once():
    assert best_cut([BEGIN] * 7, [15] * 7) == Cut(1, (0,), (0,) * 7)
    assert best_cut([BEGIN] * 7, [0] * 7) is None
    assert best_cut([[1, 2, 3], [4, 5, 6]], [3, 3]) is None


def _sweep(positions: Positions, sampling: Sampling | None = None) -> Program:
    edits = tuple(
        Edit("resid_post", i % 2, Add(vector("x"), 3.0 * (i - 1)), positions=positions, rows=(i,)) for i in range(4)
    )
    rows = program(PROMPTS, sampling=sampling).rows
    return Program(rows, (Stage((*TAPS, *LENSES), edits),))


def _alone(whole: Program, row: int) -> Program:
    stage = whole.stages[0]
    edits = tuple(replace(edit, rows=None) for edit in stage.edits if edit.rows == (row,))
    return Program((Row(whole.rows[row].text, whole.rows[row].sampling),), (Stage(stage.taps, edits),))


def _same(one, other, row):
    """Row `row` of an outcome is the only row of another."""
    assert one.rows[row].completion_ids == other.rows[0].completion_ids
    for tap in range(len(TAPS)):
        assert (raw(one, tap, row) - raw(other, tap)).abs().max() < 1e-4
    for lens in range(len(TAPS), len(TAPS) + len(LENSES)):
        mine, alone = one.readings[0][lens].values[row], other.readings[0][lens].values[0]
        assert one.readings[0][lens].positions[row] == other.readings[0][lens].positions[0]
        for name in ("top_logprobs", "entropy", "kl_final", "tracked_logprobs"):
            assert (getattr(mine, name) - getattr(alone, name)).abs().max() < 1e-4
        assert (mine.tracked_ranks - alone.tracked_ranks).abs().max() <= 1


@pytest.fixture
def calls(monkeypatch):
    made = []
    whole = prefill.pieces

    def counted(*arguments):
        for piece in whole(*arguments):
            made.append(piece.ids.shape)
            yield piece

    monkeypatch.setattr("interp_magics.engine.transformers_engine.loop.pieces", counted)
    return made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("positions", [Last(), At((-2, -1)), Generated(), After(5)])
def test_rows_that_share_a_beginning_are_what_they_are_alone(name, positions, engine, calls):
    served = engine(name)
    torch.manual_seed(3)
    objects = stored(x=torch.randn(served.card.d_model))
    whole = _sweep(positions, Sampling(4))
    together = run(served, whole, objects=objects)[0]
    assert len(calls) == 2 and calls[0][0] < len(PROMPTS)
    for row in range(len(PROMPTS)):
        _same(together, run(served, _alone(whole, row), objects=objects)[0], row)


def test_a_row_that_is_written_early_is_not_shared(engine, calls):
    served = engine("llama")
    objects = stored(x=torch.ones(served.card.d_model))
    whole = _sweep(At((0,)))
    together = run(served, whole, objects=objects)[0]
    assert len(calls) == 1
    for row in range(len(PROMPTS)):
        _same(together, run(served, _alone(whole, row), objects=objects)[0], row)


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_in_pieces_is_what_it_is_in_one(name, engine, monkeypatch, calls):
    served = engine(name)
    torch.manual_seed(3)
    objects = stored(x=torch.randn(served.card.d_model))
    whole = [_alone(_sweep(At((3, -1)), Sampling(3)), row) for row in (0, 2)]
    once = run(served, *whole, objects=objects)
    monkeypatch.setattr(reading, "PASS_TOKENS", 10)
    monkeypatch.setattr(reading, "WAITING", 1)
    before = len(calls)
    again = run(served, *whole, objects=objects)
    assert len(calls) - before == 4
    for one, other in zip(once, again, strict=True):
        _same(one, other, 0)


def test_rows_that_end_early_have_their_lens_and_disturb_nobody(engine, monkeypatch):
    served = engine("llama")
    monkeypatch.setattr(reading, "WAITING", 4)
    tried, attempt = [], Course._try
    monkeypatch.setattr(Course, "_try", lambda *given: tried.append(attempt(*given)) or tried[-1])
    lens = (Tap("resid_post", reduce=Lens(stream=True)),)
    rows = tuple(Row(Ids(tuple(BEGIN[:6])), Sampling(new)) for new in (2, 30))
    both = run(served, Program(rows, (Stage(lens),)), *(Program((row,), (Stage(lens),)) for row in rows))
    assert set(tried) == {None}
    for number, new in enumerate((2, 30)):
        (alone,) = run(served, Program((rows[number],), (Stage(lens),)))
        for outcome, row in ((both[0], number), (both[1 + number], 0)):
            assert outcome.readings[0][0].positions[row] == tuple(range(6 + new - 1))
            mine, theirs = outcome.readings[0][0].values[row], alone.readings[0][0].values[0]
            assert (mine.top_logprobs - theirs.top_logprobs).abs().max() < 1e-4


def test_all_that_streams_is_told_once_and_in_order(engine, monkeypatch):
    served = engine("llama")
    monkeypatch.setattr(reading, "WAITING", 10)
    told = []

    class Listening(Collecting):
        def decoded(self, task, rows, readings):
            told.extend(readings[0].positions[0])

    lens = program([BEGIN], [Tap("resid_post", reduce=Lens(stream=True))], sampling=Sampling(60))
    collect(served, [Task(lens, NoObjects())], Listening())
    assert told == list(range(len(told))) and len(told) > len(BEGIN) + 45


def test_a_lens_alone_holds_no_more_than_it_waits_for(engine, monkeypatch):
    served = engine("llama")
    monkeypatch.setattr(reading, "WAITING", 30)
    held, add = [], Record.add

    def counting(record, call, value):
        add(record, call, value)
        held.append(sum(part.shape[1] for _, part in record.chunks))

    monkeypatch.setattr(Record, "add", counting)
    lens = program([BEGIN], [Tap("resid_post", reduce=Lens())], sampling=Sampling(60))
    outcome = run(served, lens)[0]
    assert outcome.readings[0][0].positions[0] == tuple(range(len(BEGIN) + 59))
    assert max(held) <= len(BEGIN)
    held.clear()
    both = run(served, program([BEGIN], [Tap("resid_post", reduce=Lens()), Tap("resid_post")], sampling=Sampling(60)))[
        0
    ]
    assert max(held) == len(BEGIN) + 59
    assert torch.equal(both.readings[0][0].values[0].top_ids, outcome.readings[0][0].values[0].top_ids)
