"""Into a pool by a JupyterHub's word: a key of this kernel is bound to its user for a while, again and again."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

from ..errors import PoolUnavailable, RequestError
from ..wire.keys import Address, KeyPair

_SECONDS = 10.0


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
        request = urllib.request.Request(  # noqa: S310
            self._admit,
            json.dumps({"public": self.keys.public.decode()}).encode(),
            {"Authorization": f"token {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                said = json.loads(answer.read())
            self.seconds = float(said["seconds"])
            return Address(str(said["endpoint"]), str(said["server"]).encode(), self.keys)
        except urllib.error.HTTPError as error:
            raise PoolUnavailable(
                f"the pool's service at {self._admit} does not let you in: {_reason(error)}"
            ) from None
        except (OSError, ValueError, KeyError) as error:
            raise PoolUnavailable(f"the pool's service at {self._admit} does not answer as one ({error})") from None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        with error:
            return str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"HTTP {error.code} {error.reason}"
