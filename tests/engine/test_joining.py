"""Rows that join a batch between two of its steps are what they are alone, and so are those that they join."""

import weakref

import pytest
import torch

from interp_magics.engine.execution import reading
from interp_magics.engine.execution.records import Record
from interp_magics.engine.execution.tape import Tape
from interp_magics.engine.protocol import NoObjects, Task, Wish, collect
from interp_magics.engine.transformers_engine import loop, together
from interp_magics.errors import Cancelled, RequestError
from interp_magics.program.language import (
    At,
    Edit,
    Generated,
    Gradient,
    Ids,
    Lens,
    LogProbability,
    Program,
    Row,
    Sampling,
    Stage,
    Tap,
)
from interp_magics.program.operations import Add, Copy
from tests import checkpoints
from tests.engine.running import Arriving, program, raw, run, stored, vector

NAMES = list(checkpoints.CONFIGS)
BEGIN = [0, 17, 44, 9, 120, 301, 77, 3, 90, 91, 92, 93, 60, 61, 62, 63]
TAPS = [Tap("resid_post"), Tap("mlp_out", layers=(1,)), Tap("resid_post", reduce=Lens(track=(7,)))]
PUSH = Edit("resid_post", 0, Add(vector("x"), 3.0))
LATE = Edit("mlp_out", 1, Add(vector("x"), 2.0), positions=Generated())


def _ids(length, seed):
    return torch.randint(5, 300, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def _sweep(new):
    edits = tuple(Edit("resid_post", 0, Add(vector("x"), scale), positions=Generated(), rows=(i,))
                  for i, scale in enumerate((-2.0, 0.0, 2.0)))  # fmt: skip
    rows = tuple(Row(Ids(tuple(BEGIN)), Sampling(new)) for _ in range(3))
    return Program(rows, (Stage(tuple(TAPS), edits),))


def _same(one, other):
    assert one.rows == other.rows
    for ours, theirs in zip(one.readings[0], other.readings[0], strict=True):
        assert (ours.rows, ours.layers, ours.positions) == (theirs.rows, theirs.layers, theirs.positions)
        for row in range(len(ours.rows)):
            mine, alone = ours.values[row], theirs.values[row]
            if isinstance(mine, dict):
                assert (mine["values"] - alone["values"]).abs().max() < 1e-4
            else:
                assert (mine.top_logprobs - alone.top_logprobs).abs().max() < 1e-4
                assert (mine.tracked_logprobs - alone.tracked_logprobs).abs().max() < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_what_it_is_alone(name, engine):
    served = engine(name)
    torch.manual_seed(3)
    objects = stored(x=torch.randn(served.card.d_model))
    first = program([_ids(9, 1), _ids(4, 2)], TAPS, [PUSH], Sampling(24, 0.7, seed=4))
    coming = {
        3: [program([_ids(30, 3)], TAPS, [LATE], Sampling(6)), program([_ids(2, 4)], sampling=Sampling(30))],
        8: [_sweep(5)],
        20: [
            program([_ids(5, 5)], TAPS, sampling=Sampling(12, 1.0, seed=9)),
            program([_ids(3, 6)], sampling=Sampling(1)),
        ],
    }
    host = Arriving(objects, coming)
    found = collect(served, [Task(first, objects)], host)
    wanted = [first, *(one for group in coming.values() for one in group)]
    for outcome, one in zip(found, wanted, strict=True):
        _same(outcome, run(served, one, objects=objects)[0])
    assert host.order[0] == 1 and host.order[-1] in (2, 4) and len(host.order) == 6


def test_a_task_is_told_of_as_it_ends_and_then_nothing_of_it_is_held(engine, monkeypatch):
    served, held = engine("llama"), []
    add = Record.add

    def counting(record, call, value):
        add(record, call, value)
        held.append(sum(part.shape[0] * part.shape[1] for _, part in record.chunks))

    monkeypatch.setattr(Record, "add", counting)
    short = program([_ids(16, i) for i in range(4)], [Tap("resid_post")], sampling=Sampling(4))
    host = Arriving(NoObjects(), {12: [short]})
    long = program([BEGIN], [Tap("resid_post")], sampling=Sampling(60))
    found = collect(served, [Task(short, NoObjects()), Task(long, NoObjects())], host)
    assert host.order[0] == 0 and set(host.order) == {0, 1, 2}
    assert max(held) >= 5 * len(BEGIN) and held[-1] == len(BEGIN) + 59
    assert raw(found[1]).shape[1] == len(BEGIN) + 59


def test_one_row_that_is_read_holds_no_others(engine, monkeypatch):
    served, held = engine("llama"), []
    add = Record.add
    monkeypatch.setattr(Record, "add", lambda record, call, value: (held.append(len(value)), add(record, call, value)))
    seen = program([BEGIN], [Tap("resid_post")], sampling=Sampling(3))
    others = program([BEGIN] * 7, sampling=Sampling(3))
    found = collect(served, [Task(others, NoObjects()), Task(seen, NoObjects())])
    assert set(held) == {1} and raw(found[1]).shape[1] == len(BEGIN) + 2


def test_columns_that_nobody_needs_are_let_go(engine, monkeypatch):
    columns, join = [], loop._Flow.join

    def joined(one, other):
        flow = join(one, other)
        columns.append((flow.mask.shape[1], {layer.get_seq_length() for layer in flow.cache.layers}))
        return flow

    monkeypatch.setattr(loop._Flow, "join", joined)
    lasting, wide, later = (
        program([_ids(length, 1)], sampling=Sampling(new)) for length, new in ((3, 20), (60, 4), (5, 9))
    )
    host = Arriving(NoObjects(), {2: [wide], 9: [later]})
    collect(engine("gemma2"), [Task(lasting, NoObjects())], host)
    assert columns == [(60, {60}), (3 + 9, {3 + 9})]


def test_what_cannot_run_is_refused_as_it_joins_and_nobody_else_minds(engine):
    served = engine("llama")
    wrong = program([BEGIN], TAPS, [PUSH], Sampling(4))
    good = program([_ids(5, 5)], TAPS, sampling=Sampling(4))
    host = Arriving(stored(x=torch.ones(7)), {3: [wrong, good]})
    first = program([BEGIN], TAPS, sampling=Sampling(12))
    found = collect(served, [Task(first, NoObjects())], host)
    assert isinstance(found[1], RequestError) and "width 7" in str(found[1])
    _same(found[0], run(served, first)[0])
    _same(found[2], run(served, good)[0])


def test_one_that_joined_is_cancelled_alone(engine):
    class Impatient(Arriving):
        def cancelled(self, task):
            return task == 1 and self.tokens > 7

    served = engine("llama")
    first = program([BEGIN], TAPS, sampling=Sampling(20))
    host = Impatient(NoObjects(), {4: [program([_ids(5, 5)], TAPS, sampling=Sampling(40))]})
    found = collect(served, [Task(first, NoObjects())], host)
    assert isinstance(found[1], Cancelled) and host.order == [1, 0]
    _same(found[0], run(served, first)[0])


def test_a_fault_after_some_have_ended_fails_one_alone(engine, monkeypatch):
    """Those that have ended stay ended; the others are run again, each alone, without newcomers."""
    served = engine("llama")
    passed = together.Together.passed

    def broken(self, call):
        passed(self, call)
        if any(row.encoded.ids == tuple(BEGIN) and len(row.completion) == 6 for row in self.rows):
            raise RuntimeError("a bug")

    monkeypatch.setattr(together.Together, "passed", broken)
    first = program([_ids(6, 7)], TAPS, sampling=Sampling(20))
    host = Arriving(
        NoObjects(), {3: [program([_ids(5, 5)], sampling=Sampling(2))], 5: [program([BEGIN], sampling=Sampling(30))]}
    )
    found = collect(served, [Task(first, NoObjects())], host)
    assert host.order == [1, 0, 2] and isinstance(found[2], RuntimeError)
    _same(found[0], run(served, first)[0])


class Steady(Arriving):
    """A host to which tasks come one after another, as fast as they may."""

    def __init__(self, more):
        super().__init__(NoObjects(), {})
        self.more = list(more)

    def wish(self, joins):
        return Wish.JOIN if joins and self.more else Wish.GO_ON

    def joining(self, room):
        return [Task(self.more.pop(0), self.objects)]


def _newcomers(count):
    return [program([_ids(4, i)], sampling=Sampling(1)) for i in range(count)]


def test_running_rows_take_a_step_between_two_joins(engine):
    served, first = engine("llama"), program([BEGIN], TAPS, sampling=Sampling(12))
    host = Steady(_newcomers(60))
    found = collect(served, [Task(first, NoObjects())], host)
    assert 6 <= host.order.index(0) <= 12 and len(host.order) == 61 - len(host.more)
    _same(found[0], run(served, first)[0])


def test_other_batches_and_later_stages_do_not_wait_for_newcomers(engine):
    served = engine("llama")
    first = program([BEGIN], TAPS, sampling=Sampling(12))
    gradient = Program((Row(Ids(tuple(BEGIN))),), (Stage((), (), (Gradient(LogProbability(7), (Tap("mlp_out"),)),)),))
    twice = Program(
        program([BEGIN[:5]]).rows, (Stage((Tap("ln_final", reduce=None, keep="x"),)), Stage((Tap("resid_post"),)))
    )
    host = Steady(_newcomers(60))
    found = collect(served, [Task(one, NoObjects()) for one in (first, gradient, twice)], host)
    assert set(host.order[:3]) == {0, 1, 2}
    _same(found[0], run(served, first)[0])


def test_what_has_ended_is_let_go_though_nobody_was_left_beside_it(engine, monkeypatch):
    served, held = engine("llama"), []
    add = Record.add
    monkeypatch.setattr(
        Record,
        "add",
        lambda record, call, value: (
            add(record, call, value),
            held.append(sum(part.shape[0] * part.shape[1] for _, part in record.chunks)),
        ),
    )
    long = program([_ids(60, 1)], [Tap("resid_post")], sampling=Sampling(3))
    host = Arriving(NoObjects(), {2: [program([_ids(4, 2)], [Tap("resid_post")], sampling=Sampling(6))]})
    collect(served, [Task(long, NoObjects())], host)
    assert max(held) >= 60 and held[-1] == 4 + 5


def test_a_batch_that_failed_holds_nothing_while_its_tasks_run_alone(engine, monkeypatch):
    served, alive = engine("llama"), []
    tapes = weakref.WeakSet()
    begin, passed = Tape.__init__, together.Together.passed

    def short(self, call):
        passed(self, call)
        alive.append(len(tapes))
        if len(self.rows) > 1:
            raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(Tape, "__init__", lambda self, *given: (begin(self, *given), tapes.add(self))[0])
    monkeypatch.setattr(together.Together, "passed", short)
    tasks = [Task(program([_ids(5, i)], TAPS), NoObjects()) for i in range(3)]
    assert all(not isinstance(one, Exception) for one in collect(served, tasks))
    assert alive == [1, 1, 1, 1]


def test_a_copy_holds_however_short_a_pass_is(engine, monkeypatch):
    served = engine("llama")
    copy = Edit("resid_post", 0, Copy(1, ((1, 10),)), At((1,)), rows=(0,))
    both = Program(program([BEGIN[:12], _ids(12, 3)]).rows, (Stage((Tap("resid_post"),), (copy,)),))
    whole = run(served, both)[0]
    monkeypatch.setattr(reading, "PASS_TOKENS", 8)
    assert (raw(run(served, both)[0]) - raw(whole)).abs().max() < 1e-4


def test_there_is_an_end_to_joining(engine, monkeypatch):
    monkeypatch.setattr(together, "_MOST_ROWS", 2)
    served = engine("llama")
    later = program([_ids(5, 5)], sampling=Sampling(2))
    host = Arriving(NoObjects(), {2: [later], 4: [later]})
    found = collect(served, [Task(program([BEGIN], sampling=Sampling(12)), NoObjects())], host)
    assert len(found) == 2 and 4 in host.coming
