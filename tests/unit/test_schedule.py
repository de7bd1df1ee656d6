"""The scheduler is a pure function, so its properties can be searched for counterexamples."""

from hypothesis import given
from hypothesis import strategies as st

from interp_magics.broker.schedule import Free, Waiting, assign, order

USERS, MODELS = ("ada", "bob", "eve"), ("m", "n")

waiting = st.lists(
    st.tuples(
        st.sampled_from(USERS), st.sampled_from(MODELS), st.booleans(), st.sampled_from(["interactive", "batch"])
    ),
    max_size=30,
).map(lambda jobs: [Waiting((u, str(i)), m, i, p, a) for i, (u, m, a, p) in enumerate(jobs)])
groups = st.lists(st.tuples(st.sampled_from(MODELS), st.integers(0, 4), st.integers(1, 5)), max_size=5).map(
    lambda made: [Free(f"g{i}", m, min(r, s), s) for i, (m, r, s) in enumerate(made)]
)


@given(waiting, groups, st.sampled_from(["", *USERS]))
def test_no_group_runs_more_than_its_slots_and_no_other_model(jobs, free, last):
    by_key = {job.key: job for job in jobs}
    by_name = {group.group: group for group in free}
    taken = assign(jobs, free, last)
    assert len({key for key, _ in taken}) == len(taken)
    for group in free:
        assert group.running + sum(name == group.group for _, name in taken) <= group.slots
    assert all(by_key[key].model == by_name[name].model for key, name in taken)


@given(waiting, groups, st.sampled_from(["", *USERS]))
def test_no_slot_is_left_while_a_job_waits_for_it(jobs, free, last):
    taken = dict(assign(jobs, free, last))
    load = {g.group: g.running + sum(name == g.group for name in taken.values()) for g in free}
    alone = {taken[j.key] for j in jobs if j.alone and j.key in taken}
    held_back = {j.model for j in jobs if j.alone and j.key not in taken}
    for job in jobs:
        if job.key not in taken and not job.alone and job.model not in held_back:
            assert all(load[g.group] >= g.slots or g.group in alone for g in free if g.model == job.model)


@given(waiting, groups, st.sampled_from(["", *USERS]))
def test_a_job_that_must_be_alone_shares_no_group(jobs, free, last):
    taken = assign(jobs, free, last)
    suspects = {job.key for job in jobs if job.alone}
    for key, group in taken:
        if key in suspects:
            assert sum(name == group for _, name in taken) == 1
            assert next(g for g in free if g.group == group).running == 0


@given(st.integers(1, 40))
def test_a_light_user_is_not_behind_a_heavy_one(heavy):
    jobs = [Waiting(("heavy", str(i)), "m", i) for i in range(heavy)] + [Waiting(("light", "x"), "m", heavy)]
    assert order(jobs).index(("light", "x")) <= 1


def test_interactive_jobs_of_a_user_go_before_batch_ones():
    jobs = [Waiting(("u", "slow"), "m", 0, "batch"), Waiting(("u", "quick"), "m", 1, "interactive")]
    assert order(jobs) == [("u", "quick"), ("u", "slow")]


def test_a_job_that_must_be_alone_is_not_kept_out_by_a_stream_of_others():
    suspect = Waiting(("a", "suspect"), "m", 0, alone=True)
    others = [Waiting(("b", str(i)), "m", i + 1) for i in range(5)]
    assert assign([suspect, *others], [Free("g", "m", 1, 4)]) == []
    assert assign([suspect, *others], [Free("g", "m", 0, 4)]) == [(("a", "suspect"), "g")]
