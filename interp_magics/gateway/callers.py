"""Who may ask: those who show the key; without one those on this machine, by a name that is this machine's alone.

Only JSON is read, which a page of another site cannot send here without being asked first, and no cookie counts. A page whose own
name was made to point here asks under that name.
"""

import hmac
import ipaddress
from typing import NamedTuple

from tornado.httputil import HTTPServerRequest


class Refusal(NamedTuple):
    """An HTTP status and the reason."""

    status: int
    message: str


def refusal(request: HTTPServerRequest, key: str | None) -> Refusal | None:
    """Why a request is not answered, None when it is. A key is compared in constant time."""
    shown = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    if key is None and not is_loopback(request.host_name):
        return Refusal(403, "without a key this is for its own machine: ask 127.0.0.1 or localhost, by that name")
    if key is not None and not hmac.compare_digest(shown.encode(), key.encode()):
        return Refusal(401, "the key is missing or wrong; send it as Authorization: Bearer KEY")
    if request.method == "POST" and not _is_json(request):
        return Refusal(415, "send the body as Content-Type: application/json")
    return None


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _is_json(request: HTTPServerRequest) -> bool:
    return request.headers.get("Content-Type", "").split(";")[0].strip().lower() == "application/json"
