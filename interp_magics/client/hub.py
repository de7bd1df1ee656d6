"""Into a pool by a JupyterHub's word: a key of this kernel is bound to its user for a while, again and again."""

import json
import os
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from ..errors import PoolUnavailable, RequestError
from ..wire.keys import Address, KeyPair

_SECONDS = 10.0
_MOST_BYTES = 1 << 16


class HubEntrance:
    """The pool's service at `url`, and this kernel's key."""

    def __init__(self, url: str, environment: Mapping[str, str] = os.environ) -> None:
        """Raises RequestError when there is no hub token to show."""
        parts = urlsplit(url)
        self._token = environment.get("JUPYTERHUB_API_TOKEN", "")
        if not self._token:
            raise RequestError(
                f"{url} is let into by a JupyterHub token, and there is none in $JUPYTERHUB_API_TOKEN: is this kernel the hub's? "
                "Elsewhere use the address that `interp token make` prints"
            )
        if parts.scheme not in ("http", "https"):
            raise RequestError(f"{url!r} is not the address of a pool's service: http(s)://hub/services/NAME")
        self._admit = f"{url.rstrip('/')}/admit"
        self.keys = KeyPair.make()
        self.seconds = 0.0

    def enter(self) -> Address:
        """Show the token; the pool's address, good for `seconds`. Raises PoolUnavailable with what the service said."""
        try:
            status, said = self._post({"public": self.keys.public.decode()})
            if status == HTTPStatus.OK:
                self.seconds = float(said["seconds"])
                return Address(str(said["endpoint"]), str(said["server"]).encode(), self.keys)
            reason = str(said["error"])
        except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
            raise PoolUnavailable(f"the pool's service at {self._admit} does not answer as one ({error})") from None
        raise PoolUnavailable(f"the pool's service at {self._admit} does not let you in: {reason}")

    def _post(self, wish: dict[str, str]) -> tuple[int, Any]:
        """(status, answer). A redirection is not followed: the token is for this address alone."""
        address = urlsplit(self._admit)
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        connection = kind(address.netloc, timeout=_SECONDS)
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        try:
            connection.request("POST", address.path, json.dumps(wish), headers)
            answer = connection.getresponse()
            if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
                raise ValueError(f"it points to {answer.getheader('Location')}; name that in INTERP_POOL_URL")
            return answer.status, json.loads(answer.read(_MOST_BYTES))
        finally:
            connection.close()
