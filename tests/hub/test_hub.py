"""Two users of a JupyterHub on one pool: nobody pastes a token, nobody sees another's work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from interp_magics.wire.keys import KeyPair
from tests import checkpoints
from tests.hub.hub import Hub, pool_file

pytestmark = pytest.mark.timeout(240)

WHO = """
import interp_magics as im
pool = im.connect()
print("user", pool.user, "weight", pool.status().state.quota.weight)
job = pool.lens([0, 17, 44, 9], wait=False)
print("tokens", len(job.result(120).token_ids), "job", job.id)
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    directory = tmp_path_factory.mktemp("hub")
    made = Hub(directory, pool_file(directory, checkpoints.make("qwen3", directory)))
    try:
        made.start()
        for user in ("ada", "grace"):
            made.server(user)
        yield made
    finally:
        made.stop()


def admit(hub: Hub, token: str, public: str, **headers: str):
    return hub.ask("POST", "/services/interp-pool/admit", {"public": public}, token, **headers)


def token_of(hub: Hub, user: str, **body) -> str:
    status, made = hub.ask("POST", f"/hub/api/users/{user}/tokens", body)
    assert status == 201, made
    return made["token"]


def test_kernels_are_let_in_as_their_users_and_see_their_own_jobs_only(hub):
    ada = hub.run("ada", WHO)
    assert "user ada weight 2.0" in ada and "tokens 4" in ada
    job = ada.split("job ")[1].split()[0]
    grace = hub.run("grace", f"{WHO}\nprint([info.user for info in pool.jobs()])\npool.job({job!r})")
    assert "user grace weight 1.0" in grace and "['grace']" in grace
    assert f"you have no job '{job}'" in grace


def test_a_job_that_is_shared_is_fetched_by_another_kernel_of_another_user(hub):
    ada = hub.run("ada", f"{WHO}\njob.share('grace')")
    job = ada.split("job ")[1].split()[0]
    grace = hub.run("grace", f"{WHO}\nprint('theirs', len(pool.job({job!r}).result(120).token_ids))")
    assert "theirs 4" in grace


def test_the_hubs_roles_say_who_manages(hub):
    public = KeyPair.make().public.decode()
    hub.ask("POST", "/hub/api/users/root", {})
    status, said = admit(hub, token_of(hub, "root"), public)
    assert status == 200 and said["user"] == "root"
    assert "only an administrator" in hub.run("grace", f"{WHO}\npool.manage('pause')")


@pytest.mark.parametrize("token", ["", "0" * 32])
def test_a_token_that_the_hub_does_not_know_is_refused(hub, token):
    assert admit(hub, token, KeyPair.make().public.decode())[0] == 403


def test_a_token_without_the_scope_is_refused(hub):
    token = token_of(hub, "grace", scopes=["read:users!user"])
    status, said = admit(hub, token, KeyPair.make().public.decode())
    assert status == 403 and b"has not the scope custom:interp-pool:run" in said


def test_a_key_is_not_bound_to_a_second_user(hub):
    public = KeyPair.make().public.decode()
    assert admit(hub, token_of(hub, "ada"), public)[0] == 200
    assert admit(hub, token_of(hub, "ada"), public)[0] == 200
    assert admit(hub, token_of(hub, "grace"), public)[0] == 409


def test_a_page_of_another_cannot_post_with_a_visitors_cookies(hub):
    """Only the header counts: a cookie, or a token in the address, lets nobody in."""
    token, public = token_of(hub, "ada"), KeyPair.make().public.decode()
    assert admit(hub, "", public, Cookie=f"interp-pool={token}; jupyterhub-services={token}")[0] == 403
    status, _ = hub.ask("POST", f"/services/interp-pool/admit?token={token}", {"public": public}, "")
    assert status == 403


@pytest.mark.parametrize(
    "body", [{}, {"public": "x"}, {"public": "0" * 40, "user": "root"}, [1], {"public": "\x00" * 40}]
)
def test_what_is_no_wish_is_refused(hub, body):
    status, _ = hub.ask("POST", "/services/interp-pool/admit", body, token_of(hub, "ada"))
    assert status == 400


def test_a_body_without_end_is_refused(hub):
    status, _ = hub.ask("POST", "/services/interp-pool/admit", {"public": "0" * 100_000}, token_of(hub, "ada"))
    # The service ends the connection, which the hub's proxy tells in its own way.
    assert status in (0, 400, 413, 502, 503)
    assert hub.ask("GET", "/services/interp-pool/healthz")[0] == 200
    assert Path(hub.directory / "pool" / "connection").stat().st_mode & 0o077 == 0
