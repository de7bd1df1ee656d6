"""`%%capture_layers`."""

from functools import cache
from typing import Any

from IPython.core.error import UsageError

from . import reading
from .arguments import Parser, common
from .arguments import reading as reading_options
from .session import Session


@cache
def parser() -> Parser:
    """The options of the magic."""
    made = Parser("%capture_layers", "Keep the values at sites and layers of the cell's text.")
    common(made)
    reading_options(made)
    made.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="the model's own by default")
    made.add_argument("--reduce", choices=("moments",), help="keep mean, variance and norm instead of values")
    return made


def run(session: Session, line: str, cell: str) -> Any:
    """`NAME` at the end of the line is an alias of `-o NAME`."""
    given, name = parser().split(line)
    name = name.strip()
    if name and given.out:
        raise UsageError(f"the result has two names, {given.out!r} and {name!r}; give one")
    return reading.call(session, "capture", given, cell.removesuffix("\n"), given.out or name or None)
