"""The schedule is told all that it knows, so its properties can be searched for counterexamples."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_magics.broker.schedule import AGING, Free, Schedule, Waiting

USERS, MODELS = ("ada", "bob", "eve"), ("m", "n")

waiting = st.lists(
    st.tuples(
        st.sampled_from(USERS),
        st.sampled_from(MODELS),
        st.booleans(),
        st.sampled_from(["interactive", "batch"]),
        st.sampled_from(["", "", "one", "other"]),
    ),
    max_size=30,
).map(lambda jobs: [Waiting((u, str(i)), m, i, p, a, engine=e) for i, (u, m, a, p, e) in enumerate(jobs)])
groups = st.lists(
    st.tuples(st.sampled_from(MODELS), st.integers(0, 4), st.integers(1, 5), st.sampled_from(["one", "other"])),
    max_size=5,
).map(lambda made: [Free(f"g{i}", m, min(r, s), s, engine=e) for i, (m, r, s, e) in enumerate(made)])


def scheduled(jobs, **options):
    made = Schedule(**options)
    for job in jobs:
        made.add(job)
    return made


def names(jobs):
    return [job.key[1] for job in jobs]


@given(waiting, groups)
def test_no_group_runs_more_than_its_slots_no_other_model_and_nothing_that_its_engine_cannot(jobs, free):
    by_key = {job.key: job for job in jobs}
    by_name = {group.group: group for group in free}
    schedule = scheduled(jobs)
    taken = schedule.hand_out(free, 0.0)
    assert len({key for key, _ in taken}) == len(taken) and len(schedule) == len(jobs) - len(taken)
    for group in free:
        assert group.running + sum(name == group.group for _, name in taken) <= group.slots
    assert all(by_key[key].model == by_name[name].model for key, name in taken)
    assert all(by_key[key].engine in ("", by_name[name].engine) for key, name in taken)


@given(waiting, groups)
def test_no_slot_is_left_while_a_job_waits_for_it(jobs, free):
    taken = dict(scheduled(jobs).hand_out(free, 0.0))
    load = {g.group: g.running + sum(name == g.group for name in taken.values()) for g in free}
    alone = {taken[j.key] for j in jobs if j.alone and j.key in taken}
    held_back = {j.model for j in jobs if j.alone and j.key not in taken}
    for job in jobs:
        if job.key not in taken and not job.alone and job.model not in held_back:
            able = [g for g in free if g.model == job.model and job.engine in ("", g.engine)]
            assert all(load[g.group] >= g.slots or g.group in alone for g in able)


@given(waiting, groups)
def test_a_job_that_must_be_alone_shares_no_group(jobs, free):
    taken = scheduled(jobs).hand_out(free, 0.0)
    suspects = {job.key for job in jobs if job.alone}
    for key, group in taken:
        if key in suspects:
            assert sum(name == group for _, name in taken) == 1
            assert next(g for g in free if g.group == group).running == 0


@given(waiting, st.sets(st.integers(0, 29)))
def test_what_is_handed_out_one_by_one_comes_in_the_order_that_is_told(jobs, removed):
    schedule = scheduled([Waiting(j.key, "m", j.number, j.priority) for j in jobs])
    for job in jobs:
        if job.number in removed:
            schedule.remove(job.key)
    told = [job.key for job in schedule.order(0.0)]
    assert len(told) == len(jobs) - len({job.number for job in jobs} & removed)
    assert [key for _ in told for key, _ in schedule.hand_out([Free("g", "m", 0, 1)], 0.0)] == told


@settings(max_examples=50)
@given(
    st.fixed_dictionaries({user: st.floats(0.25, 4.0) for user in USERS}),
    st.fixed_dictionaries({user: st.floats(0.01, 10.0) for user in USERS}),
    st.fixed_dictionaries({user: st.floats(0.1, 10.0) for user in USERS}),
)
def test_shares_follow_weights_whatever_jobs_cost_and_whatever_was_predicted(weights, costs, wrong):
    """Users who always have something waiting are never further apart than one job of each."""
    schedule = Schedule(weights.__getitem__)
    had = dict.fromkeys(USERS, 0.0)
    for user in USERS:
        schedule.add(Waiting((user, "0"), "m", 0, cost=costs[user]))
    most = max(max(costs[u], costs[u] * wrong[u]) / weights[u] for u in USERS)
    for number in range(1, 300):
        ((key, _),) = schedule.hand_out([Free("g", "m", 0, 1)], 0.0)
        user = key[0]
        schedule.add(Waiting((user, str(number)), "m", number, cost=costs[user]))
        took = costs[user] * wrong[user]
        schedule.ended(Waiting(key, "m", 0, cost=costs[user]), took)
        had[user] += took / weights[user]
        assert max(had.values()) - min(had.values()) <= 2 * most + 1e-6


def test_any_hundred_equal_jobs_are_shared_by_weight_within_a_twentieth():
    weights = {"ada": 1.0, "bob": 2.0, "eve": 5.0}
    schedule = scheduled([Waiting((u, str(i)), "m", i) for i in range(1000) for u in weights], weight=weights.get)
    taken = [schedule.hand_out([Free("g", "m", 0, 1)], 0.0)[0][0][0] for _ in range(1000)]
    for start in range(900):
        window = taken[start : start + 100]
        for user, weight in weights.items():
            assert window.count(user) / 100 == pytest.approx(weight / 8, abs=0.05 * weight / 8 + 0.01)


def test_who_comes_late_is_served_next_and_has_no_credit_for_the_time_away():
    jobs = [Waiting(("heavy", str(i)), "m", i) for i in range(100)]
    jobs += [Waiting(("late", str(i)), "m", 100 + i) for i in range(50)]
    by_key, schedule = {job.key: job for job in jobs}, scheduled(jobs[:100])

    def serve():
        ((key, _),) = schedule.hand_out([Free("g", "m", 0, 1)], 0.0)
        return key

    running = serve()
    for _ in range(50):
        schedule.ended(by_key[running], 1.0)
        running = serve()
    for job in jobs[100:]:
        schedule.add(job)
    taken = []
    for _ in range(20):
        schedule.ended(by_key[running], 1.0)
        running = serve()
        taken.append(running[0])
    assert taken[0] == "late" and taken.count("late") in (10, 11)


def shares(schedule, by_key, turns, running=None):
    """Whose jobs a group with one slot takes, each for its cost."""
    taken = []
    for _ in range(turns):
        if running:
            schedule.ended(by_key[running], by_key[running].cost)
        ((running, _),) = schedule.hand_out([Free("g", "m", 0, 1)], 0.0)
        taken.append(running[0])
    return taken


def _many(user, count, model="m", **more):
    return {(user, f"{model}{i}"): Waiting((user, f"{model}{i}"), model, i, **more) for i in range(count)}


def test_a_night_alone_is_no_debt_in_the_morning():
    alice, bob = _many("alice", 1200), _many("bob", 300)
    by_key, schedule = {**alice, **bob}, scheduled(list(alice.values())[:1000])
    shares(schedule, by_key, 1000)
    for job in (*bob.values(), *list(alice.values())[1000:]):
        schedule.add(job)
    assert 49 <= shares(schedule, by_key, 100).count("alice") <= 51


def test_a_job_that_cannot_run_gathers_no_credit():
    """Neither one for a model that no group serves, nor one that runs for long while others are served."""
    ada, eve = _many("ada", 3000), _many("eve", 1500)
    parked, long = Waiting(("eve", "parked"), "other", 0), Waiting(("eve", "long"), "m", 0)
    by_key = {**ada, **eve}
    schedule = scheduled([parked, long])
    assert schedule.hand_out([Free("g", "m", 0, 2)], 0.0) == [(long.key, "g")]
    for job in ada.values():
        schedule.add(job)
    shares(schedule, by_key, 1000)
    for job in eve.values():
        schedule.add(job)
    assert 49 <= shares(schedule, by_key, 100).count("eve") <= 52


def test_a_backlog_of_batch_jobs_that_has_aged_takes_turns():
    batch = _many("ada", 300, priority="batch")
    quick = _many("bob", 1000)
    by_key = {**batch, **quick}
    schedule = scheduled([*batch.values(), *quick.values()])
    for _ in range(200):
        ((key, _),) = schedule.hand_out([Free("g", "m", 0, 1)], AGING / 2)
        schedule.ended(by_key[key], 1.0)
        assert key[0] == "bob"
    aged = [schedule.hand_out([Free("g", "m", 0, 1)], 2 * AGING)[0][0][0] for _ in range(40)]
    assert 18 <= aged.count("ada") <= 22


def test_several_that_must_be_alone_hold_one_group_back_and_no_more():
    suspects = [Waiting(("a", str(i)), "m", i, alone=True) for i in range(4)]
    others = [Waiting(("b", str(i)), "m", i + 10) for i in range(20)]
    free = [Free(f"g{i}", "m", 1, 16) for i in range(4)]
    taken = scheduled([*suspects, *others]).hand_out(free, 0.0)
    assert len(taken) == 20 and len({group for _, group in taken}) == 3


def test_jobs_that_have_gone_are_not_kept():
    schedule = scheduled([Waiting(("ada", "stays"), "m", 0)])
    for number in range(1, 20_000):
        schedule.add(Waiting(("ada", str(number)), "m", number))
        schedule.remove(("ada", str(number)))
    assert len(schedule) == 1 and sum(len(heap) for heap in schedule._queues["m"]["ada"].heaps.values()) < 2500
    assert names(schedule.order(0.0)) == ["stays"]


def test_nobody_gains_by_coming_and_going():
    """One who always has jobs beside one who sends the next when the last has ended: half each."""
    steady = {("steady", str(i)): Waiting(("steady", str(i)), "m", i) for i in range(500)}
    schedule, had = scheduled(steady.values()), {"steady": 0, "fickle": 0}
    for number in range(300):
        if ("fickle", str(number)) not in schedule and not any(job.user == "fickle" for job in schedule.order(0.0)):
            schedule.add(Waiting(("fickle", str(number)), "m", 1000 + number))
        ((key, _),) = schedule.hand_out([Free("g", "m", 0, 1)], 0.0)
        had[key[0]] += 1
        schedule.ended(steady.get(key, Waiting(key, "m", 0)), 1.0)
    assert abs(had["steady"] - had["fickle"]) <= 2


def test_a_light_user_waits_for_one_job_of_a_heavy_one_with_ten_thousand():
    schedule = scheduled([Waiting(("heavy", str(i)), "m", i) for i in range(10_000)])
    schedule.hand_out([Free("g", "m", 0, 1)], 0.0)
    schedule.add(Waiting(("light", "x"), "m", 10_000))
    assert "x" in names(list(schedule.order(0.0))[:2])


def test_interactive_jobs_go_before_batch_ones_until_those_have_waited_long():
    slow = Waiting(("ada", "slow"), "m", 0, "batch")
    quick = [Waiting(("ada", "quick"), "m", 1), Waiting(("bob", "quick"), "m", 2)]
    assert names(scheduled([slow, *quick]).order(AGING - 1)) == ["quick", "quick", "slow"]
    assert "slow" in names(list(scheduled([slow, *quick]).order(AGING))[:2])


def test_whole_jobs_of_a_user_go_before_parts():
    part, whole = Waiting(("u", "part"), "m", 0, part=True), Waiting(("u", "whole"), "m", 1)
    assert names(scheduled([part, whole]).order(0.0)) == ["whole", "part"]


def test_a_job_that_must_be_alone_is_not_kept_out_by_a_stream_of_others():
    suspect = Waiting(("a", "suspect"), "m", 0, alone=True)
    others = [Waiting(("b", str(i)), "m", i + 1) for i in range(5)]
    schedule = scheduled([suspect, *others])
    assert schedule.hand_out([Free("g", "m", 1, 4)], 0.0) == [] and len(schedule) == 6
    assert schedule.hand_out([Free("g", "m", 0, 4)], 0.0) == [(("a", "suspect"), "g")]


@given(st.lists(st.tuples(st.sampled_from(USERS), st.integers(1, 20)), max_size=30))
def test_nobody_runs_more_rows_than_they_may_but_one_job(jobs):
    given_ = [Waiting((user, str(i)), "m", i, rows=rows) for i, (user, rows) in enumerate(jobs)]
    by_key = {job.key: job for job in given_}
    schedule = scheduled(given_, most_rows=lambda user: 12)
    taken = [by_key[key] for key, _ in schedule.hand_out([Free("g", "m", 0, 99)], 0.0)]
    for user in USERS:
        mine = [job.rows for job in taken if job.user == user]
        assert sum(mine) <= 12 or len(mine) == 1
    assert {job.user for job in taken} == {job.user for job in given_}
    for job in taken:
        schedule.ended(job, job.cost)
    again = schedule.hand_out([Free("g", "m", 0, 99)], 0.0)
    assert {key[0] for key, _ in again} == {job.user for job in given_ if job not in taken}
