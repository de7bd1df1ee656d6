"""One large request in slices, and the book of their job."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_magics.broker.book import STRIKES, Book
from interp_magics.methods import plans, slices
from interp_magics.methods.generate.request import GenerateRequest
from interp_magics.methods.lens.request import LensRequest
from interp_magics.program.language import At, Edit, Ids, Sampling
from interp_magics.program.operations import Add, Copy, Stored
from tests.unit.test_book import card

RESULT = 10**9
CARD = msgspec.structs.replace(card(), flops_per_second=100.0)


def _texts(lengths):
    return tuple(Ids((1,) * length) for length in lengths)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.floats(0.01, 100))
def test_slices_are_the_request_in_order_and_none_is_longer_than_it_must_be(lengths, most):
    request = GenerateRequest(_texts(lengths), Sampling(3))
    made = slices.split(request, CARD, most, RESULT)
    assert tuple(text for one in made for text in one.texts) == request.texts
    assert [one.first for one in made] == [sum(len(m.texts) for m in made[:i]) for i in range(len(made))]
    bound = max(most, 2 * _seconds(request) / slices.MOST)
    assert all(_seconds(one) <= bound * (1 + 1e-9) or len(one.texts) == 1 for one in made)
    assert all(_seconds(one) + _seconds(other) > bound * (1 - 1e-9) for one, other in pairwise(made))


def _seconds(request):
    return plans.cost(request, CARD, [len(text.ids) for text in request.texts]).seconds(CARD)


def test_rows_of_a_slice_keep_their_numbers():
    steer = (Edit("resid_post", 0, Add(Stored("0" * 64, "x"), 1.0), rows=(2,)),)
    request = GenerateRequest(_texts([30] * 4), Sampling(2, seed=5), steer)
    whole = list(plans_of(request))
    parts = [program for one in slices.split(request, CARD, 0.01, RESULT) for program in plans_of(one)]
    assert len(parts) == 4 and parts == whole
    assert [len(program.stages[0].edits) for program in parts] == [0, 0, 1, 0]


def plans_of(request):
    from interp_magics.methods.generate.plan import programs

    return programs(request, CARD)


def test_what_cannot_be_sliced_stays_whole():
    copies = (Edit("resid_post", 0, Copy(1), rows=(0,), positions=At((0,))),)
    for request in (
        LensRequest(_texts([40])),
        GenerateRequest(_texts([40, 40]), Sampling(1), copies),
        GenerateRequest(_texts([40, 40]), Sampling(1), first=3),
        LensRequest(_texts([40, 40]), keep=60, sites=()),
    ):
        assert slices.split(request, CARD, 0.001, RESULT) == (request,)
    much = GenerateRequest(_texts([40, 40]), Sampling(1))
    assert len(slices.split(much, CARD, 0.001, RESULT)) == 2 and len(slices.split(much, CARD, 0.001, 10)) == 1


def test_there_are_never_more_slices_than_a_job_may_have():
    request = GenerateRequest(_texts([1] * 4000), Sampling(1))
    assert len(slices.split(request, CARD, 0.0, RESULT)) <= slices.MOST


@pytest.fixture
def book():
    made = Book()
    made.ready("a", b"a", "e1", card(), 2, 0.0)
    made.ready("b", b"b", "e2", card(), 2, 0.0)
    return made


def _submit(book, parts=3):
    given = tuple(GenerateRequest(_texts([1]), Sampling(1), first=i) for i in range(parts))
    return book.submit(("ada", "job"), "m", given, "interactive", (), 0.0)


def test_parts_run_in_several_groups_and_the_job_is_done_with_the_last(book):
    whole = _submit(book)
    assert book.queued_of("ada") == 3 and [job.key for job in book.of_user("ada")] == [whole.key]
    taken = book.hand_out()
    assert sorted(part.group for part in taken) == ["a", "a", "b"] and whole.state == "running"
    for done, part in enumerate(taken):
        assert book.end(part.key, part.group, 1, "done", 1.0) is part
        assert book.settle(part, 1.0).state == ("done" if done == 2 else "running")
    assert list(book.ended(9.0)) == [whole]
    book.forget(whole.key)
    assert book.jobs == {}


def test_parts_leave_room_for_what_is_short(book):
    for name in ("a", "b"):
        book.groups[name].slots = 16
    _submit(book, parts=40)
    assert len(book.hand_out()) == 4 and book.hand_out() == []
    short = book.submit(("ada", "short"), "m", (GenerateRequest(_texts([1]), Sampling(1)),), "interactive", (), 1.0)
    assert book.hand_out() == [short]


def test_a_group_that_comes_later_takes_parts_too(book):
    _submit(book, parts=9)
    assert len(book.hand_out()) == 4
    book.ready("c", b"c", "e3", card(), 2, 1.0)
    assert [part.group for part in book.hand_out()] == ["c", "c"]


def test_a_part_that_fails_ends_the_job_and_the_parts_that_wait(book):
    whole = _submit(book, parts=6)
    first, *running = book.hand_out()
    book.end(first.key, first.group, 1, "failed", 1.0)
    assert book.settle(first, 1.0).state == "failed"
    assert {part.key for part in book.withdraw(whole, 1.0)} == {part.key for part in running}
    assert book.hand_out() == [] and list(book.ended(9.0)) == []
    for part in running:
        book.end(part.key, part.group, 1, "cancelled", 2.0)
        assert book.settle(part, 2.0).state == "failed"
    assert list(book.ended(9.0)) == [whole]


def test_cancelling_ends_what_waits_at_once_and_the_job_with_its_last_part(book):
    whole = _submit(book, parts=5)
    running = book.hand_out()
    assert book.cancel(whole.key, 1.0).state == "running"
    for place, part in enumerate(running):
        assert part.cancelling
        book.end(part.key, part.group, 1, "cancelled", 2.0)
        assert book.settle(part, 2.0).state == ("cancelled" if place == len(running) - 1 else "running")
    waiting = _submit(book)
    assert book.cancel(waiting.key, 3.0).state == "cancelled" and book.hand_out() == []


def test_a_part_whose_group_dies_is_run_again_and_in_the_end_is_poison(book):
    whole = _submit(book, parts=2)
    first, second = book.hand_out()
    book.started(first.key, first.group, first.attempt)
    for strike in range(STRIKES):
        lost = book.lose(first.group, 1.0)
        assert lost == [first]
        if strike < STRIKES - 1:
            assert first.state == "queued" and whole.state == "running"
            book.ready("a", b"a", f"e{strike + 9}", card(), 2, 1.0)
            book.ready("b", b"b", "e2", card(), 2, 1.0)
            book.end(second.key, second.group, second.attempt, "done", 1.0)
            (again,) = book.hand_out()
            assert again is first
            book.started(first.key, first.group, first.attempt)
    assert first.state == "failed" and book.settle(first, 1.0).state == "failed"
