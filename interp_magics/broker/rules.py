"""What each user may have: the pool's limits, and what the groups that they belong to change of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import msgspec

from ..wire.standing import Limits


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the members of a group have instead of the pool's limits. `weight` is their share beside others who wait."""

    weight: float | None = None
    queued_jobs: int | None = None
    running_rows: int | None = None
    store_bytes: int | None = None
    result_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, not {value}")


@dataclass(frozen=True)
class Allowance:
    """What one user may have."""

    weight: float
    queued_jobs: int
    running_rows: int
    store_bytes: int
    result_bytes: int


class Rules:
    """Of several groups the most generous counts, number by number; a group's number replaces the pool's own."""

    def __init__(self, limits: Limits, groups: Mapping[str, Rule] | None = None) -> None:
        self._groups = dict(groups or {})
        self._usual = Allowance(1.0, limits.queued_jobs, limits.running_rows, limits.store_bytes, limits.result_bytes)
        self._users: dict[str, Allowance] = {}

    def know(self, user: str, groups: Iterable[str]) -> None:
        """A user belongs to these groups now."""
        rules = [self._groups[name] for name in groups if name in self._groups]
        self._users[user] = Allowance(**{field.name: self._most(field.name, rules) for field in fields(Allowance)})

    def of(self, user: str) -> Allowance:
        return self._users.get(user, self._usual)

    def _most(self, name: str, rules: list[Rule]) -> Any:
        given = [value for rule in rules if (value := getattr(rule, name)) is not None]
        return max(given, default=getattr(self._usual, name))
