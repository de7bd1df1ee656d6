"""The few of many entries: of every key those that come first in an order, while more entries come."""

import torch
from torch import Tensor

_SLACK = 1 << 16


class Few:
    """Entries with a key, an order and other columns; of each key the `most` of the lowest order are kept."""

    def __init__(self, most: int, *columns: str) -> None:
        self._most, self._columns = most, ("key", "order", *columns)
        self._parts: dict[str, list[Tensor]] = {name: [] for name in self._columns}
        self._waiting = self._kept = 0

    def add(self, **columns: Tensor) -> None:
        """Take in entries."""
        for name, values in columns.items():
            self._parts[name].append(values)
        self._waiting += len(columns["key"])
        if self._waiting > self._kept + _SLACK:
            self.columns()

    def columns(self) -> dict[str, Tensor]:
        """What is kept, by key and order."""
        made = {name: torch.cat(parts) if parts else torch.zeros(0) for name, parts in self._parts.items()}
        order = lowest(made["key"], made["order"], self._most)
        made = {name: values[order] for name, values in made.items()}
        self._parts = {name: [values] for name, values in made.items()}
        self._waiting, self._kept = 0, len(order)
        return made


def lowest(key: Tensor, order: Tensor, most: int) -> Tensor:
    """Which entries are among the `most` of the lowest order of their key; by key, then order, then as they came."""
    places = order.argsort(stable=True)
    places = places[key[places].argsort(stable=True)]
    keys = key[places]
    begins = torch.ones(len(keys), dtype=torch.bool, device=key.device)
    begins[1:] = keys[1:] != keys[:-1]
    numbers = torch.arange(len(keys), device=key.device)
    first = torch.where(begins, numbers, 0).cummax(0).values if len(keys) else numbers
    return places[numbers - first < most]
