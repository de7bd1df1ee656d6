"""What happens to jobs when groups come, end and die."""

import pytest

from interp_magics.broker.book import STRIKES, Book
from interp_magics.broker.estimates import Estimates
from interp_magics.methods.program.request import ProgramRequest
from interp_magics.methods.tokenize.request import TokenizeRequest
from interp_magics.program.cards import ModelCard, SiteInfo
from interp_magics.program.language import Edit, Ids, Program, Row, Stage
from interp_magics.program.operations import Zero


def card(name="m", engine="transformers", **more):
    given = {
        "name": name,
        "family": "f",
        "architecture": "A",
        "digest": "d",
        "revision": "",
        "tokenizer": "t",
        "dtype": "float32",
        **dict.fromkeys(("layers", "d_model", "d_mlp", "heads", "kv_heads", "d_head", "parameters"), 1),
        "vocabulary": 2,
        "context": 8,
        "sites": {},
        "missing": {},
        "engine": engine,
        "ops": (),
        "reductions": (),
        "lens_kinds": (),
        "special_tokens": {},
        "chat_template": False,
    }
    return ModelCard(**{**given, **more})


@pytest.fixture
def book():
    made = Book()
    made.ready("g", b"r", "e1", card(), 16, 0.0)
    return made


def submit(book, job, user="ada"):
    return book.submit((user, job), "m", (TokenizeRequest(),), "interactive", (), 0.0)


def test_a_late_result_of_an_old_attempt_is_dropped(book):
    submit(book, "one")
    (job,) = book.hand_out()
    book.started(job.key, "g", job.attempt)
    book.ready("g", b"r2", "e2", card(), 16, 1.0)
    (again,) = book.hand_out()
    assert again is job and job.attempt == 2
    assert book.end(job.key, "g", 1, "done", 2.0) is None
    assert book.end(job.key, "g", 2, "done", 2.0) is job


def test_jobs_of_a_dead_batch_are_suspect_and_run_alone_without_a_strike(book):
    jobs = [submit(book, name) for name in ("one", "two")]
    for job in book.hand_out():
        book.started(job.key, "g", job.attempt)
    book.ready("g", b"r2", "e2", card(), 16, 1.0)
    assert [job.strikes for job in jobs] == [0, 0] and all(job.suspect for job in jobs)
    assert len(book.hand_out()) == 1


def test_a_job_that_kills_its_worker_alone_is_poison_after_three(book):
    job = submit(book, "one")
    for number in range(STRIKES):
        assert book.hand_out() == [job]
        book.started(job.key, "g", job.attempt)
        book.ready("g", b"r", f"epoch{number}", card(), 16, 1.0)
    assert job.state == "failed" and book.hand_out() == []


def test_a_job_that_had_not_started_is_not_suspect_where_another_had(book):
    begun, waiting = submit(book, "begun"), submit(book, "waiting")
    book.hand_out()
    book.started(begun.key, "g", begun.attempt)
    book.ready("g", b"r2", "e2", card(), 16, 1.0)
    assert begun.suspect and waiting.state == "queued" and not waiting.suspect


def test_a_job_that_kills_its_worker_before_it_starts_is_poison_too(book):
    job = submit(book, "one")
    for number in range(STRIKES):
        assert book.hand_out() == [job]
        book.ready("g", b"r", f"epoch{number}", card(), 16, 1.0)
    assert job.state == "failed"


def test_a_job_that_is_being_cancelled_ends_with_its_group(book):
    job = submit(book, "one")
    book.hand_out()
    assert book.cancel(job.key, 1.0).cancelling
    book.lose("g", 2.0)
    assert job.state == "cancelled" and book.hand_out() == []


def test_a_queued_job_is_cancelled_at_once(book):
    job = submit(book, "one")
    assert book.cancel(job.key, 1.0).state == "cancelled"
    assert book.hand_out() == []


def test_a_silent_group_is_named_and_an_unknown_state_is_not_up(book):
    assert book.silent(10.0, 5.0) == ["g"]
    book.beat("g", "m", "alive", "", 11.0)
    assert book.silent(12.0, 5.0) == []


def _timed(book, job, user="ada", cost=1.0):
    return book.submit((user, job), "m", (TokenizeRequest(),), "interactive", (), 0.0, [cost])


def test_the_time_of_a_group_is_shared_among_the_jobs_of_its_batch(book):
    one, two = _timed(book, "one"), _timed(book, "two", "bob")
    book.hand_out(0.0)
    book.started(one.key, "g", one.attempt, 1.0)
    book.started(two.key, "g", two.attempt, 3.0)
    book.end(one.key, "g", 1, "done", 7.0)
    book.end(two.key, "g", 1, "done", 10.0)
    assert (one.work, two.work) == (1 / 2 + 2 + 4 / 2, 1 / 2 + 4 / 2 + 3)


def test_who_was_cheaper_than_predicted_is_next(book):
    book.groups["g"].slots = 1
    for number in range(3):
        for user, cost in (("ada", 1.0), ("bob", 5.0)):
            _timed(book, f"{user}{number}", user, cost)
    served, now = [], 0.0
    for _ in range(6):
        (job,) = book.hand_out(now)
        served.append(job.key[0])
        book.started(job.key, "g", job.attempt, now)
        now += 1.0
        book.end(job.key, "g", 1, "done", now)
    assert sorted(served[:2]) == sorted(served[2:4]) == sorted(served[4:]) == ["ada", "bob"]


def test_a_prediction_is_corrected_by_what_was_measured(book):
    first = _timed(book, "first", cost=2.0)
    book.hand_out(0.0)
    book.started(first.key, "g", first.attempt, 0.0)
    book.end(first.key, "g", 1, "done", 6.0)
    assert _timed(book, "second", cost=2.0).view.cost == pytest.approx(6.0)


def test_places_and_waits_are_estimated_from_what_is_before(book):
    book.groups["g"].slots = 0
    for job in ("one", "two", "three"):
        _timed(book, job, cost=4.0)
    other = _timed(book, "other", "bob", 4.0)
    book.ready("h", b"h", "e2", card(), 0, 0.0)
    found = {key[1]: (place.ahead, place.wait) for key, place in Estimates(book).places(1.0).items()}
    assert found == {"one": (0, 0.0), "other": (1, 2.0), "two": (2, 4.0), "three": (3, 6.0)}
    assert Estimates(book).info(other, 1.0).wait == 2.0


def test_time_is_shared_by_what_each_job_was_predicted_to_take(book):
    long, short = _timed(book, "long", cost=9.0), _timed(book, "short", "bob", 1.0)
    for job in book.hand_out(0.0):
        book.started(job.key, "g", job.attempt, 0.0)
    book.end(long.key, "g", 1, "done", 10.0)
    book.end(short.key, "g", 1, "done", 10.0)
    assert (long.work, short.work) == (9.0, 1.0)


def test_a_job_that_died_is_charged_what_it_took_and_not_what_was_predicted(book):
    book.groups["g"].slots = 1
    job = _timed(book, "one", cost=100.0)
    for name in ("two", "three"):
        _timed(book, name, "bob", 4.0)
    book.hand_out(0.0)
    book.started(job.key, "g", job.attempt, 0.0)
    book.ready("g", b"r", "e2", card(), 1, 3.0)
    (other,) = book.hand_out(3.0)
    assert other.key[0] == "bob"
    book.started(other.key, "g", other.attempt, 3.0)
    book.end(other.key, "g", 1, "done", 7.0)
    assert book.hand_out(7.0) == [job]


def test_work_that_ends_before_it_began_is_charged_too(book):
    """A worker that refuses a job after it has looked at it had work with it."""
    book.groups["g"].slots = 1
    for number in range(8):
        _timed(book, f"e{number}", "eve")
        _timed(book, f"a{number}", "ada")
    served, now = [], 0.0
    for _ in range(8):
        (job,) = book.hand_out(now)
        served.append(job.key[0])
        now += 1.0
        if job.key[0] == "ada":
            book.started(job.key, "g", job.attempt, now - 1.0)
        book.end(job.key, "g", 1, "done" if job.key[0] == "ada" else "failed", now)
    assert served.count("eve") == served.count("ada") == 4


def test_what_was_guessed_teaches_nothing(book):
    first = submit(book, "first")
    book.hand_out(0.0)
    book.started(first.key, "g", first.attempt, 0.0)
    book.end(first.key, "g", 1, "done", 300.0)
    assert _timed(book, "second", cost=2.0).view.cost == 2.0


def test_a_job_goes_to_an_engine_that_can_run_it_and_says_why():
    """Also one that waited before there was another engine; one that any can run goes to either."""
    book = Book()
    book.ready("g", b"r", "e1", card(), 1, 0.0)
    asked = Program((Row(Ids((0, 1))),), (Stage((), (Edit("resid_post", 0, Zero()),)),))
    able = {"sites": {"resid_post": SiteInfo((1,), 1)}, "gradients": True}
    book.ready("g", b"r", "e1", card(ops=("zero",), **able), 1, 0.0)
    book.submit(("ada", "first"), "m", (ProgramRequest(asked),), "interactive", (), 0.0)
    book.submit(("ada", "edits"), "m", (ProgramRequest(asked),), "interactive", (), 0.0)
    book.submit(("ada", "plain"), "m", (TokenizeRequest(),), "interactive", (), 0.0)
    assert [job.group for job in book.hand_out()] == ["g"]
    book.ready("h", b"h", "e2", card(engine="vllm", **able), 4, 1.0)
    taken = {job.key[1]: job.group for job in book.hand_out()}
    assert taken == {"plain": "h"}
    assert book.jobs["ada", "edits"].why == "vllm: engine vllm has no operation 'zero'"
    book.end(("ada", "first"), "g", 1, "done", 2.0)
    assert {job.key[1]: job.group for job in book.hand_out()} == {"edits": "g"}
    book.lose("g", 3.0)
    assert not book.hand_out(4.0) and book.jobs["ada", "edits"].state == "queued"


def test_a_job_whose_engine_has_gone_for_good_is_not_left_waiting():
    """It goes to what is left, which says why it cannot run it."""
    book = Book()
    able = {"sites": {"resid_post": SiteInfo((1,), 1)}}
    book.ready("g", b"r", "e1", card(ops=("zero",), **able), 0, 0.0)
    book.ready("h", b"h", "e2", card(engine="vllm", **able), 4, 1.0)
    asked = Program((Row(Ids((0, 1))),), (Stage((), (Edit("resid_post", 0, Zero()),)),))
    book.submit(("ada", "edits"), "m", (ProgramRequest(asked),), "interactive", (), 0.0)
    assert not book.hand_out()
    book.retire("g", 2.0)
    assert [job.group for job in book.hand_out()] == ["h"]


def test_of_groups_with_one_engine_the_one_that_can_do_least_counts():
    """A job that only the other could run goes where every group can."""
    book = Book()
    whole = {"ops": ("zero",), "gradients": True, "conditions": True}
    book.ready("g", b"r", "e1", card(sites={"resid_post": SiteInfo((1,), 1)}, **whole), 0, 0.0)
    book.ready("h", b"h", "e2", card(engine="vllm", sites={"resid_post": SiteInfo((1,), 1)}, ops=("zero",)), 4, 1.0)
    book.ready("i", b"i", "e3", card(engine="vllm", sites={}, ops=("zero",)), 4, 1.0)
    asked = Program((Row(Ids((0, 1))),), (Stage((), (Edit("resid_post", 0, Zero()),)),))
    book.submit(("ada", "edits"), "m", (ProgramRequest(asked),), "interactive", (), 0.0)
    assert not book.hand_out() and "unknown site" in book.jobs["ada", "edits"].why


def test_a_host_that_is_lost_is_not_held_against_the_job(book):
    job = submit(book, "one")
    for turn in range(STRIKES + 1):
        (given,) = book.hand_out()
        book.started(given.key, "g", given.attempt)
        book.beat("g", "m", "down", "", 1.0 + turn, blameless=True)
        book.ready("g", b"r", f"after {turn}", card(), 16, 1.5 + turn)
    assert (job.strikes, job.suspect, job.state) == (0, False, "queued")


def test_a_group_that_is_not_what_the_pool_asks_for_gets_nothing_until_one_comes_that_is(book):
    book.refuse("g", "m", "it does not clean texts", 11.0)
    book.beat("g", "m", "alive", "", 12.0)
    assert (book.groups["g"].state, book.groups["g"].trouble) == ("failed", "it does not clean texts")
    book.ready("g", b"again", "other", card(), 16, 13.0)
    book.beat("g", "m", "alive", "", 14.0)
    assert book.groups["g"].state == "up"
