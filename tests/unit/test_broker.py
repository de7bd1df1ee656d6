"""A broker without sockets' ends: what it says and does when it is started again, cannot write, or is asked too much."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from interp_magics.broker.access import LISTED
from interp_magics.broker.admission import CLIENT, Key
from interp_magics.broker.journal import JournalError
from interp_magics.broker.outbox import Route
from interp_magics.broker.rules import Rule
from interp_magics.broker.server import Keys, Server, Settings
from interp_magics.broker.shelf import SMALL
from interp_magics.methods.steerability.request import Curve, SteerabilityRequest
from interp_magics.methods.tokenize.request import TokenizeRequest
from interp_magics.program.language import Ids, Last, Plain
from interp_magics.program.operations import Stored
from interp_magics.wire.keys import KeyPair
from interp_magics.wire.messages import (
    Attempt,
    Beat,
    CancelJob,
    Done,
    Drain,
    Failed,
    Failure,
    Follow,
    PoolState,
    Ready,
    Restart,
    Share,
    Stat,
    Stop,
    Submit,
)
from interp_magics.wire.standing import Limits
from tests.unit.test_book import card

ADA, BOB, ROOT = Key("ada", CLIENT), Key("bob", CLIENT), Key("root", CLIENT, admin=True)
REQUEST = TokenizeRequest((Plain("x"),))


@dataclass
class Desk:
    """A server whose messages are kept instead of sent; `again` is its successor in the same directory."""

    directory: Path
    settings: dict[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ("m",)

    def __post_init__(self) -> None:
        _open.append(self)
        self.server = Server(Settings(self.directory, self.models, **self.settings), Keys(KeyPair.make(), {}))
        self.said: list[tuple[bytes, Any, Any]] = []
        self.server._out._admitted = lambda key: key != "revoked"
        self.server._out.flush = self._keep
        self.book = self.server.book

    def _keep(self) -> list[bytes]:
        self.said += [(letter.peer, letter.message, letter.payload) for letter in self.server._out._held]
        self.server._out._held.clear()
        return []

    def turn(self) -> None:
        """What the loop does after messages have come."""
        self.server._say()
        self.server.workers.hand_out()
        self.server._say()

    def close(self) -> None:
        _open.remove(self)
        self.server.close()

    def again(self, **changed: Any) -> "Desk":
        self.close()
        return Desk(self.directory, {**self.settings, **changed.pop("settings", {})}, **changed)

    def client(self, message: Any, who: Key = ADA, key: str = "", size: int = 100) -> None:
        self.server.clients.handle(Route(False, who.user.encode(), key), who, message, (), size)

    def submit(self, number: int, who: Key = ADA, request: Any = REQUEST) -> Any:
        self.client(Submit(job=_id(number), model="m", request=request), who)
        return self.book.jobs.get((who.user, _id(number)))

    def nanny(self, group: str = "g", state: str = "alive", trouble: str = "") -> None:
        beat = Beat(group=group, model="m", state=state, trouble=trouble, pid=1)
        self.server.workers.handle(b"nanny " + group.encode(), beat, ())

    def ready(self, *jobs: Any, group: str = "g", epoch: str = "epoch0001", slots: int = 16) -> None:
        has = tuple(Attempt(f"{job.number:012d}", job.attempt) for job in jobs)
        self.worker(Ready(group=group, epoch=epoch, card=card(), has=has, slots=slots), group)

    def worker(self, message: Any, group: str = "g", payload: bytes | None = None) -> None:
        self.server.workers.handle(group.encode(), message, (payload,) if payload is not None else ())

    def done(self, job: Any, payload: bytes = b"x" * 8) -> None:
        self.worker(Done(job=f"{job.number:012d}", attempt=job.attempt, size=len(payload)), payload=payload)

    def heard(self, kind: type, peer: bytes | None = None) -> list[Any]:
        """Messages of a kind, and forget all."""
        found = [message for to, message, _ in self.said if isinstance(message, kind) and peer in (None, to)]
        self.said.clear()
        return found


_open: list[Desk] = []


@pytest.fixture(autouse=True)
def closed():
    yield
    for desk in _open:
        desk.close()


def _id(number: int) -> str:
    return f"{number:016d}"


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.fixture
def serving(desk):
    desk.nanny()
    desk.ready()
    return desk


def fail(desk, monkeypatch):
    """No commit succeeds until this is undone."""

    def full() -> None:
        raise JournalError("database or disk is full")

    monkeypatch.setattr(desk.server._journal, "commit", full)


def test_a_process_may_speak_before_its_nanny(desk):
    desk.ready()
    job = desk.submit(1)
    desk.turn()
    assert job.state == "running"


def test_nothing_is_accepted_that_could_not_be_written_down(serving, monkeypatch):
    with monkeypatch.context() as patched:
        fail(serving, patched)
        serving.submit(1)
        serving.turn()
        (told,) = serving.heard(Failure)
        assert told.code == "storage" and "nothing was queued" in told.message
        serving.submit(2)
        serving.turn()
        assert serving.heard(Failure)[0].code == "storage"
    serving.turn()
    assert serving.submit(1) is not None
    serving.turn()
    later = serving.again()
    assert [key[1] for key in later.book.jobs] == [_id(1)]


def test_a_job_that_could_not_be_written_down_is_not_listed(serving, monkeypatch):
    """Neither in a state that was asked for while it was thought to be accepted."""
    serving.submit(1)
    serving.turn()
    serving.said.clear()
    with monkeypatch.context() as patched:
        fail(serving, patched)
        serving.submit(2)
        serving.client(Stat(number=1), key="another connection")
        serving.turn()
        assert [info.job for info in serving.heard(PoolState)[0].jobs] == [_id(1)]
    serving.client(Stat(number=2))
    serving.turn()
    assert [info.job for info in serving.heard(PoolState)[0].jobs] == [_id(1)]


def test_an_old_job_is_listed_for_those_who_name_it_and_may_see_it(desk):
    for number in range(LISTED + 5):
        desk.submit(number)

    def listed(who=ADA, **named):
        desk.said.clear()
        desk.client(Stat(number=1, **named), who)
        desk.turn()
        return [info.job for info in desk.heard(PoolState)[0].jobs]

    newest = [_id(number) for number in range(5, LISTED + 5)]
    assert listed() == listed(job="nothing") == listed(job=_id(9)) == newest
    assert listed(job=_id(2)) == [_id(2), *newest]
    assert listed(BOB, job=_id(2)) == []
    desk.client(Share(number=1, job=_id(2), users=("bob",)))
    assert listed(BOB, job=_id(3)) == listed(BOB, job=_id(2)) == [_id(2)]


def test_parts_that_could_not_be_written_down_leave_room_for_others(serving, monkeypatch):
    def sliced(number: int) -> None:
        serving.book.submit(("ada", _id(number)), "m", (REQUEST,) * 6, "interactive", (), 0.0, [1.0] * 6)

    with monkeypatch.context() as patched:
        fail(serving, patched)
        sliced(1)
        serving.server._say()
    serving.turn()
    sliced(2)
    serving.turn()
    assert serving.book.running == 2


def test_what_ran_is_found_again_counted_and_charged(serving):
    one, two = serving.submit(1), serving.submit(2, BOB)
    serving.turn()
    assert (one.state, two.state) == ("running", "running")
    later = serving.again()
    jobs = list(later.book.jobs.values())
    assert later.book.rows_of("ada") == 1
    later.nanny()
    later.ready(*jobs)
    for job in jobs:
        later.done(job)
    later.turn()
    assert [job.state for job in jobs] == ["done", "done"] and all(job.attempt == 1 for job in jobs)
    assert later.book.rows_of("ada") == 0 and not later.heard(Restart)


def test_an_attempt_that_the_group_does_not_have_is_given_again(serving, monkeypatch):
    job = serving.submit(1)
    serving.turn()
    serving.ready()
    assert job.state == "running"
    job.handed -= 10
    serving.ready()
    assert job.state == "queued"
    serving.turn()
    assert job.attempt == 2
    serving.done(job)
    assert job.state == "done"


def test_an_attempt_that_is_not_wanted_any_more_is_stopped(serving):
    job = serving.submit(1)
    serving.turn()
    old = Attempt(f"{job.number:012d}", 7)
    serving.heard(Stop)
    serving.worker(Ready(group="g", epoch="epoch0001", card=card(), has=(old,)))
    serving.turn()
    assert [(stop.job, stop.attempt) for stop in serving.heard(Stop)] == [(old.job, 7)]


def test_a_cancellation_goes_on_after_a_restart_and_its_time_begins_anew(serving):
    job = serving.submit(1)
    serving.turn()
    serving.client(CancelJob(job=_id(1)))
    serving.turn()
    later = serving.again()
    (job,) = later.book.jobs.values()
    assert job.cancelling
    later.nanny()
    later.ready(job)
    later.server.upkeep.enforce(time.monotonic())
    later.turn()
    assert not later.book.groups["g"].kicked and later.heard(Stop)


def test_a_nanny_that_missed_a_kick_is_told_again(serving):
    group = serving.book.groups["g"]
    serving.server.upkeep.kick(group, "it is told to")
    serving.server._say()
    assert len(serving.heard(Restart, b"nanny g")) == 1
    serving.ready()
    serving.server._say()
    assert not serving.heard(Restart)
    group.told -= 10
    serving.ready()
    serving.server._say()
    assert len(serving.heard(Restart, b"nanny g")) == 1
    serving.ready(epoch="epoch0002")
    assert not group.held_back


def test_a_group_that_failed_fails_no_jobs_of_groups_that_have_not_spoken_yet(serving):
    for number in range(20):
        serving.submit(number)
    serving.turn()
    later = serving.again()
    later.nanny("bad", "failed", "no memory")
    assert {job.state for job in later.book.jobs.values()} == {"queued", "running"}


def test_a_group_that_failed_fails_no_jobs_before_all_groups_had_time_to_speak(desk):
    job = desk.submit(1)
    desk.turn()
    desk.nanny("bad", "failed", "no memory")
    assert job.state == "queued"
    desk.server.workers._started -= 60
    desk.nanny("bad", "failed", "no memory")
    assert job.state == "failed" and job.failure.message == "no memory"


def test_members_of_a_group_keep_what_they_may_have_after_a_restart(tmp_path):
    big = Key("ada", CLIENT, frozenset({"big"}))
    desk = Desk(tmp_path, {"limits": Limits(result_bytes=100), "rules": {"big": Rule(result_bytes=10_000)}})
    desk.nanny()
    desk.ready()
    desk.submit(1, big)
    desk.turn()
    later = desk.again()
    (job,) = later.book.jobs.values()
    later.nanny()
    later.ready(job)
    later.done(job, b"x" * 500)
    assert job.state == "done"


def test_a_job_of_a_model_that_is_not_served_any_more_fails_and_says_so(desk):
    desk.submit(1)
    desk.turn()
    later = desk.again(models=("other",))
    later.client(Follow(job=_id(1)))
    later.turn()
    (told,) = later.heard(Failure)
    assert told.code == "model_failed" and "does not serve 'm' any more" in told.message


@pytest.mark.parametrize("size", [8, SMALL + 1])
def test_a_result_is_kept_until_its_time_is_over_and_then_gone_whole(tmp_path, size):
    desk = Desk(tmp_path, {"limits": Limits(result_ttl=100)})
    desk.nanny()
    desk.ready()
    job = desk.submit(1)
    desk.turn()
    desk.done(job, b"r" * size)
    desk.turn()
    later = desk.again()
    later.client(Follow(job=_id(1)))
    later.turn()
    ((_, done, payload),) = [said for said in later.said if isinstance(said[1], Done)]
    assert done.size == size and payload == b"r" * size
    later.server.clients.expire(time.monotonic() + 101)
    later.turn()
    assert not later.book.jobs and not list((tmp_path / "spool" / "results").iterdir())
    assert not later.again().book.jobs


def test_what_workers_left_for_nobody_is_swept_away(serving, tmp_path):
    job = serving.submit(1)
    serving.turn()
    incoming = tmp_path / "spool" / "incoming"
    (incoming / f"{job.number:012d}-1").write_bytes(b"mine")
    (incoming / "000000000099-1").write_bytes(b"nobody's")
    serving.again()
    assert [path.name for path in incoming.iterdir()] == [f"{job.number:012d}-1"]


def test_what_a_worker_writes_for_an_attempt_that_was_given_up_is_swept_away_too(serving, tmp_path):
    late = tmp_path / "spool" / "incoming" / "000000000001-1"
    late.write_bytes(b"too late")
    serving.server.workers.expire(time.monotonic() + 11)
    assert not late.exists()


def test_ended_jobs_leave_no_parts_behind(serving):
    for number in range(30):
        serving.book.submit(("ada", _id(number)), "m", (REQUEST,) * 50, "interactive", (), 0.0, [1.0] * 50)
        serving.client(CancelJob(job=_id(number)))
    serving.turn()
    assert len(serving.book.jobs) == 30 and serving.book.queued_of("ada") == 0


def test_requests_that_wait_are_bounded_by_their_bytes(tmp_path):
    desk = Desk(tmp_path, {"limits": Limits(queued_bytes=1000)})
    for number in range(3):
        desk.client(Submit(job=_id(number), model="m", request=REQUEST), size=400)
    desk.turn()
    (told,) = desk.heard(Failure)
    assert told.code == "busy" and len(desk.book.jobs) == 2
    desk.client(CancelJob(job=_id(0)))
    desk.client(Submit(job=_id(7), model="m", request=REQUEST), size=400)
    assert ("ada", _id(7)) in desk.book.jobs


@pytest.mark.parametrize("served", [False, True])
def test_a_request_that_would_hold_everybody_up_is_refused_before_it_is_looked_at(desk, served):
    if served:
        desk.nanny()
        desk.ready()
    stored = Stored("0" * 64, "v")
    curves = tuple(Curve(str(number), (stored,) * 30) for number in range(10))
    wide = SteerabilityRequest(
        (Ids((0, 1)), Ids((0, 2))),
        positions=Last(),
        curves=curves,
        site="resid_post",
        layers=tuple(range(30)),
        scales=tuple(map(float, range(1000))),
    )
    many = TokenizeRequest((Plain("x"),) * 20_000)
    for number, request in enumerate((wide, many)):
        desk.submit(number, request=request)
    desk.turn()
    refused = desk.heard(Failure)
    assert [told.code for told in refused] == ["bad_request"] * 2 and "300,000 points" in refused[0].message


def test_a_job_is_not_shared_without_bounds_nor_its_list_shown_to_others(serving):
    serving.submit(1)
    for number in range(8):
        names = ("bob", *(f"{number}-{other}" for other in range(63)))
        serving.client(Share(number=1 + number, job=_id(1), users=names))
    serving.turn()
    assert serving.heard(Failure)[0].code == "bad_request"
    assert serving.server.standing.state(Key("carol", CLIENT), 1).jobs == ()
    (seen,) = serving.server.standing.state(BOB, 1).jobs
    assert seen.job == _id(1) and seen.shared == ()


def test_a_key_that_was_revoked_hears_no_more_of_its_jobs(serving):
    job = serving.submit(1)
    serving.client(Follow(job=_id(1)), key="revoked")
    serving.turn()
    serving.said.clear()
    serving.done(job, b"secret")
    serving.turn()
    assert len([said for said in serving.said if said[2] == b"secret"]) == 1


def test_followers_of_a_job_are_bounded(serving):
    job = serving.submit(1)
    for number in range(1000):
        job.follow(Route(False, str(number).encode()))
    assert len(job.followers) == 16 and Route(False, b"999") in job.followers


def test_asking_again_and_again_to_cancel_does_not_put_off_the_end(serving):
    serving.book.submit(("ada", _id(1)), "m", (REQUEST,) * 4, "interactive", (), 0.0, [1.0] * 4)
    serving.turn()
    first, *_ = [job for job in serving.book.jobs.values() if job.state == "running" and job.parent]
    serving.book.cancel(("ada", _id(1)), 1.0)
    serving.book.cancel(("ada", _id(1)), 99.0)
    assert first.left == 1.0


def test_a_group_is_started_anew_only_when_it_is_empty(serving):
    job = serving.submit(1)
    serving.turn()
    serving.book.groups["g"].restarting = True
    serving.server.upkeep.restart_idle()
    serving.server._say()
    assert not serving.heard(Drain)
    other = serving.submit(2)
    serving.turn()
    assert other.state == "queued"
    serving.done(job)
    serving.server.upkeep.restart_idle()
    serving.turn()
    assert serving.heard(Drain) and other.state == "queued"
    serving.nanny(state="down")
    serving.ready(epoch="epoch0002")
    serving.turn()
    assert other.state == "running"


def test_groups_that_are_gone_are_forgotten_and_those_that_took_their_leave_at_once(serving):
    serving.nanny("other")
    serving.server.workers.lost("other", "it was cut off")
    assert serving.book.groups["other"].state == "gone"
    serving.server.workers.expire(time.monotonic() + 61)
    assert set(serving.book.groups) == {"g"}
    serving.nanny("g", "leaving")
    serving.nanny("g", "down")
    assert not serving.book.groups


def test_a_worker_that_fails_a_job_of_another_attempt_changes_nothing(serving):
    job = serving.submit(1)
    serving.turn()
    serving.worker(Failed(job=f"{job.number:012d}", attempt=9, code="internal", message="x"))
    assert job.state == "running"
