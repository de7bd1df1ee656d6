"""The identity of a checkpoint: a digest of what determines its numbers, cached until a file changes."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

_SUFFIXES = (".safetensors", ".json", ".model", ".txt", ".jinja")
_NOT_IDENTITY = frozenset({"training.json"})


def digest_of(directory: Path) -> str:
    """sha256 over the sorted (name, sha256) of weight, config and tokenizer files."""
    files = sorted(f for f in directory.iterdir() if f.suffix in _SUFFIXES and f.name not in _NOT_IDENTITY)
    cache = _Cache()
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name}\0{cache.digest(file)}\n".encode())
    cache.save()
    return total.hexdigest()


class _Cache:
    """Digests of files by path, size, mtime and inode; losing it costs a hash, so a broken one is ignored."""

    def __init__(self) -> None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._path = home / "interp_magics" / "digests.json"
        self._known = self._read()
        self._changed = False

    def digest(self, file: Path) -> str:
        stat = file.stat()
        key = f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
        if key not in self._known:
            with file.open("rb") as handle:
                self._known[key] = hashlib.file_digest(handle, "sha256").hexdigest()
            self._changed = True
        return self._known[key]

    def save(self) -> None:
        if not self._changed:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False) as file:
                json.dump(self._known, file)
            os.replace(file.name, self._path)
        except OSError:
            return

    def _read(self) -> dict[str, str]:
        try:
            known = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}
