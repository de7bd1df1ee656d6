"""What can be asked by name: a pool's models, and interventions on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..api import Pool
from ..data.intervention import Intervention
from ..data.results import load
from ..errors import RequestError, nearest


class UnknownModel(RequestError):
    """Nothing of that name is offered."""


@dataclass(frozen=True)
class Offered:
    """A model of the pool, as it is or under an intervention; `id` is what a client calls it."""

    id: str
    model: str
    intervention: Intervention | None = None


@dataclass(frozen=True)
class Offer:
    """All that is offered."""

    all: tuple[Offered, ...]

    def find(self, name: str) -> Offered:
        """Raises UnknownModel with the nearest names."""
        found = next((one for one in self.all if one.id == name), None)
        if found is None:
            raise UnknownModel(f"there is no model {name!r}{nearest(name, (one.id for one in self.all))}")
        return found


def offered(pool: Pool, files: Iterable[str | Path]) -> Offer:
    """A pool's models, and the interventions in `files`. Raises RequestError for a file that is none, or is for another
    checkpoint than the pool serves under that name."""
    models = pool.models()
    return Offer((*(Offered(name, name) for name in models), *(_under(pool, models, file) for file in files)))


def _under(pool: Pool, models: Sequence[str], file: str | Path) -> Offered:
    one = load(file)
    if not isinstance(one, Intervention):
        raise RequestError(f"{file} holds no intervention but a {type(one).__name__}; pool.intervention() makes one")
    model = one.meta.model
    if model not in models:
        raise RequestError(f"{file} is for {model!r}, which the pool does not serve{nearest(model, models)}")
    found = pool.card(model).digest
    if found != one.meta.checkpoint:
        raise RequestError(
            f"{file} was made for another checkpoint of {model!r} ({one.meta.checkpoint[:12]}) than the pool serves ({found[:12]})"
        )
    return Offered(one.id, model, one)
