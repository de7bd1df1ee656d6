"""Who is who in a shared pool: tokens, groups, what is shared, what only an administrator may."""

import numpy as np
import pytest

import interp_magics as im
from tests.pool.conftest import wait_for
from tests.pool.served import free_ports, serving

IDS = [0, 17, 44, 9]


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("identity")
    config = directory / "pool.toml"
    config.write_text(
        f"""
        port = {free_ports()}
        threads = 1
        [[models]]
        name = "tiny"
        path = "{model}"
        [groups.safety]
        weight = 2.0
        queued_jobs = 50
        [users]
        ada = ["safety"]
        """
    )
    with serving(directory / "pool", "--config", str(config)) as made:
        yield made


@pytest.fixture(scope="module")
def people(served):
    """Pools as ada (of the group safety), bob and the administrator root see them."""
    pools = {name: im.connect(served.token(name)) for name in ("ada", "bob")}
    pools["root"] = im.connect(served.token("root", "--admin"))
    yield pools
    for pool in pools.values():
        pool.close()


def test_a_token_names_its_user_and_groups_change_what_they_may(people):
    assert people["ada"].status().state.quota.weight == 2.0
    assert people["ada"].status().state.quota.queued[1] == 50
    assert people["bob"].status().state.quota.weight == 1.0


def test_a_job_is_its_owners_until_it_is_shared(people):
    job = people["ada"].lens(IDS, wait=False)
    run = job.result(120)
    with pytest.raises(im.RequestError, match="you have no job"):
        people["bob"].job(job.id)
    with pytest.raises(im.RequestError, match="you have no job"):
        people["bob"]._connection.share(job.id, ("bob",), ())
    job.share("bob")
    (seen,) = people["bob"].jobs()
    assert seen.user == "ada" and seen.shared == ()
    assert [info.shared for info in people["ada"].jobs() if info.job == job.id] == [("bob",)]
    assert np.array_equal(people["bob"].job(job.id).result(120).top_ids, run.top_ids)


def test_a_job_that_is_shared_is_not_anothers_to_end_or_give_away(people):
    people["root"].manage("pause")
    try:
        job = people["ada"].lens(IDS, wait=False)
        job.share("bob")
        theirs = people["bob"].job(job.id)
        with pytest.raises(im.RequestError, match="you have no job"):
            theirs.cancel(120)
            theirs.result(120)
        with pytest.raises(im.RequestError, match="you have no job"):
            people["bob"]._connection.share(job.id, ("eve",), ())
        assert [info.state for info in people["ada"].jobs() if info.job == job.id] == ["queued"]
    finally:
        people["root"].manage("resume")
    job.result(120)


def test_a_job_is_shared_with_all_of_a_group(people):
    job = people["bob"].lens(IDS, wait=False)
    job.share(group="safety")
    assert job.id in [info.job for info in people["ada"].jobs()]
    assert people["ada"].job(job.id).result(120).meta.row == 0


def test_only_an_administrator_manages(people):
    for action, target in (("pause", ""), ("drain", ""), ("kick", "tiny/0"), ("expel", "ada")):
        with pytest.raises(im.RequestError, match="only an administrator"):
            people["bob"].manage(action, target)
    with pytest.raises(im.RequestError, match=r"no worker group 'tiny/1'.*tiny/0"):
        people["root"].manage("kick", "tiny/1")


def test_a_model_is_paused_with_all_its_groups_and_resuming_all_means_all(people):
    people["root"].manage("pause", "tiny")
    assert people["bob"].status().state.models[0].state == "paused"
    job = people["bob"].lens(IDS, wait=False)
    wait_for(lambda: [info.state for info in people["bob"].jobs() if info.job == job.id] == ["queued"])
    people["root"].manage("resume")
    assert len(job.result(120).token_ids) == 4


def test_a_job_that_is_done_is_not_shown_as_waiting(people):
    job = people["bob"].lens(IDS, wait=False)
    job.result(120)
    with im.connect(people["bob"]._connection._address.__str__()) as again:
        assert again.job(job.id).progress.state == "done"


def test_a_pool_that_drains_takes_nothing_new_and_says_so(people):
    people["root"].manage("drain")
    try:
        with pytest.raises(im.RemoteError, match="being drained"):
            people["bob"].lens(IDS)
        assert people["bob"].status().state.draining
    finally:
        people["root"].manage("resume")
    people["bob"].lens(IDS, timeout=120)


def test_a_user_is_expelled_and_may_come_back(people):
    people["root"].manage("pause")
    try:
        jobs = [people["bob"].lens(IDS, wait=False) for _ in range(3)]
        wait_for(lambda: sum(info.state == "queued" for info in people["bob"].jobs()) == 3)
        kept = people["ada"].lens(IDS, wait=False)
        people["root"].manage("expel", "bob")
        for job in jobs:
            with pytest.raises(im.Cancelled):
                job.result(120)
    finally:
        people["root"].manage("resume")
    kept.result(120)


def test_an_administrator_ends_anybodys_job(people):
    people["root"].manage("pause")
    try:
        job = people["bob"].lens(IDS, wait=False)
        wait_for(lambda: job.id in [info.job for info in people["bob"].jobs() if info.state == "queued"])
        people["root"]._connection.cancel(job.id)
        with pytest.raises(im.Cancelled):
            job.result(120)
    finally:
        people["root"].manage("resume")


def refused(pool):
    """What was admitted once is admitted no more."""
    try:
        pool.lens(IDS)
    except im.PoolUnavailable as gone:
        assert "admission to this pool is over" in str(gone)
        return True
    return False


def test_a_revoked_token_ends_an_open_connection(served):
    address = served.token("eve")
    with im.connect(address) as pool:
        pool.lens(IDS, timeout=120)
        assert "eve: user eve, for good" in served.interp("token", "--directory", str(served.directory), "list").stdout
        assert served.interp("token", "--directory", str(served.directory), "revoke", "eve").returncode == 0
        wait_for(lambda: refused(pool))
    with pytest.raises(im.PoolUnavailable, match="no pool answers"):
        im.connect(address)


def test_a_token_ends_when_its_time_is_over(served):
    with im.connect(served.token("brief", "--days", str(5 / 86400))) as pool:
        assert not refused(pool)
        wait_for(lambda: refused(pool))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("make", "ada"), "there is a token 'ada' already"),
        (("revoke", "adda"), "did you mean 'ada'"),
        (("make", "late", "--days", "0"), "more than 0 days"),
    ],
)
def test_a_fault_with_tokens_is_one_line(served, people, arguments, says):
    done = served.interp("token", "--directory", str(served.directory), *arguments)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1


def test_the_audit_record_says_who_did_what_and_not_what_was_asked(served, people):
    job = people["bob"].lens("a secret prompt", wait=False)
    job.result(120)
    wait_for(lambda: f'"done","user":"bob","job":"{job.id}"' in (served.directory / "audit.jsonl").read_text())
    record = (served.directory / "audit.jsonl").read_text()
    assert f'"submitted","user":"bob","job":"{job.id}","model":"tiny","method":"lens","texts":1' in record
    assert '"pause","user":"root"' in record
    assert "secret" not in record
    assert (served.directory / "audit.jsonl").stat().st_mode & 0o077 == 0
