"""By which connection a result came, as long as both last: what draws a result can ask for more of it."""

from collections.abc import Iterable
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

_sources: "WeakKeyDictionary[Any, ReferenceType[Any]]" = WeakKeyDictionary()


def came_by(results: Iterable[Any], source: Any) -> None:
    """Remember the connection of results."""
    for result in results:
        _sources[result] = ref(source)


def source_of(result: Any) -> Any | None:
    """The connection that a result came by; None for one that was loaded, or whose connection is gone."""
    found = _sources.get(result)
    return None if found is None else found()
