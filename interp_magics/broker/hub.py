"""Whom a JupyterHub vouches for. A kernel shows its hub token, and the key that it will connect with is bound to its user."""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from ..errors import PoolUnavailable
from .admission import CLIENT, Admission, Key

RUN, ADMIN = "custom:interp-pool:run", "custom:interp-pool:admin"
#: For how many seconds a key is let in; kernels show their token again before that.
ADMITTED_SECONDS = 900.0
_TOKEN = re.compile(r"^(?:token|bearer)\s+(\S+)$", re.IGNORECASE)


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kernel's public key, in z85."""

    public: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}", self.public):
            raise ValueError("a public key has 40 characters of z85")


class Admitted(msgspec.Struct, frozen=True):
    """Where the pool is, its public key (z85), who you are there, and for how many seconds."""

    endpoint: str
    server: str
    user: str
    seconds: float


@dataclass(frozen=True)
class Refusal(Exception):
    """Why a kernel is not let in, with the HTTP status that says so."""

    status: int
    why: str


class Gate:
    """Lets keys in whose bearers the hub knows. `ask` gives the hub's word on a token, None when it has none."""

    def __init__(
        self, admission: Admission, endpoint: str, server: bytes, ask: Callable[[str], Awaitable[dict[str, Any] | None]]
    ) -> None:
        self._admission, self._endpoint, self._server, self._ask = admission, endpoint, server, ask

    async def admit(self, authorization: str, body: bytes) -> Admitted:
        """Raises Refusal. The token is taken from the header alone, which no page of another can send."""
        token = _TOKEN.match(authorization)
        if token is None:
            raise Refusal(403, "send your hub token in the header Authorization: token …")
        try:
            wish = msgspec.json.decode(body, type=Wish)
        except (msgspec.MsgspecError, ValueError) as error:
            raise Refusal(400, f"not a wish to be admitted: {error}") from None
        user = await self._ask(token[1])
        if user is None:
            raise Refusal(403, "the hub does not know this token")
        scopes = set(user.get("scopes", ()))
        if not scopes & {RUN, ADMIN}:
            raise Refusal(
                403,
                f"{user['name']} has not the scope {RUN}: an administrator of the hub grants it to the roles user and server",
            )
        if str(user["name"]).startswith("@"):
            raise Refusal(403, 'a name that begins with "@" would read as that of a group')
        groups = frozenset(str(group) for group in user.get("groups", ()))
        key = Key(str(user["name"]), CLIENT, groups, ADMIN in scopes, time.time() + ADMITTED_SECONDS)
        if not self._admission.admit(wish.public.encode(), key):
            raise Refusal(409, "this key is another user's; make a new one")
        return Admitted(self._endpoint, self._server.decode(), key.user, ADMITTED_SECONDS)


def hubs_word() -> Callable[[str], Awaitable[dict[str, Any] | None]]:
    """Asks the hub of this service's environment each time: a revoked token ends at once. Raises PoolUnavailable."""
    try:
        from jupyterhub.services.auth import HubAuth
    except ImportError:
        raise PoolUnavailable("interp serve --hub needs JupyterHub's package: pip install interp-magics[hub]") from None
    auth = HubAuth()

    async def ask(token: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = await auth.user_for_token(token, use_cache=False, sync=False)
        return found if found and found.get("kind") == "user" else None

    return ask
