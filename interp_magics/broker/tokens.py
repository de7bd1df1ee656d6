"""Named tokens: keys that an administrator gives to people whom no hub vouches for.

The file has public keys only; a token's secret is shown once, when it is made.
"""

import math
import time
from pathlib import Path

import msgspec

from ..errors import RequestError, nearest
from ..wire.keys import KeyPair, write_secret
from .admission import CLIENT, Key


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key of a user; `expires` on the wall clock, never when None."""

    name: str
    user: str
    public: str
    groups: tuple[str, ...] = ()
    admin: bool = False
    expires: float | None = None

    def key(self) -> Key:
        expires = math.inf if self.expires is None else self.expires
        return Key(self.user, CLIENT, frozenset(self.groups), self.admin, expires)


class Tokens:
    """The tokens of a pool, in one file that its broker reads when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    def all(self) -> list[Token]:
        """Raises RequestError when the file is damaged."""
        try:
            if not self._path.is_file():
                return []
            return list(msgspec.json.decode(self._path.read_bytes(), type=tuple[Token, ...]))
        except OSError as error:
            raise RequestError(f"{self._path} cannot be read ({error.strerror})") from None
        except msgspec.MsgspecError as error:
            raise RequestError(
                f"{self._path} is damaged ({error}); mend it, or move it away to revoke all tokens"
            ) from None

    def make(
        self, name: str, user: str, groups: tuple[str, ...] = (), admin: bool = False, days: float | None = None
    ) -> KeyPair:
        """A new token; its secret key is nowhere but in what is returned."""
        known = self.all()
        if any(token.name == name for token in known):
            raise RequestError(f"there is a token {name!r} already; revoke it first, or choose another name")
        if not name or not user or user.startswith("@"):
            raise RequestError('a token needs a name and a user, and "@" begins the names of groups')
        if days is not None and not days > 0:
            raise RequestError(f"a token is good for more than 0 days, not {days:g}")
        pair = KeyPair.make()
        expires = None if days is None else time.time() + 86400 * days
        self._write([*known, Token(name, user, pair.public.decode(), groups, admin, expires)])
        return pair

    def revoke(self, name: str) -> None:
        known = self.all()
        if all(token.name != name for token in known):
            raise RequestError(f"there is no token {name!r}{nearest(name, [token.name for token in known])}")
        self._write([token for token in known if token.name != name])

    def changed(self) -> bool:
        """Whether the file has changed since this was last asked."""
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino)
        except OSError:
            seen = None
        changed, self._seen = seen != self._seen, seen
        return changed

    def _write(self, tokens: list[Token]) -> None:
        write_secret(self._path, msgspec.json.format(msgspec.json.encode(tokens)).decode() + "\n")
