"""Who may ask a pool through the OpenAI API."""

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest

from interp_magics.gateway.callers import is_loopback, refusal


def asked(host, **headers):
    given = {"Host": host, "Content-Type": "application/json", **headers}
    return HTTPServerRequest("POST", "/v1/completions", headers=HTTPHeaders(given))


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:8000", "[::1]:8000"])
def test_without_a_key_this_machine_may_ask_by_its_own_names(host):
    assert refusal(asked(host), None) is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "10.0.0.7:8000", "127.0.0.1.evil.example", ""])
def test_a_page_whose_name_was_made_to_point_here_is_refused(host):
    found = refusal(asked(host), None)
    assert found is not None and found.status == 403
    assert not is_loopback(host)


def test_with_a_key_any_name_will_do_and_the_key_must_be_shown():
    key = "a key of twenty letters"
    assert refusal(asked("pool.example", Authorization=f"Bearer {key}"), key) is None
    for shown in ("", "Bearer", f"Bearer {key}x", "Bearer \u00e9"):
        assert refusal(asked("pool.example", Authorization=shown), key).status == 401
