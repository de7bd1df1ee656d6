"""`%lens` and `%%lens`."""

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
    made = Parser("lens", "What the model was about to say, at every layer and position.")
    common(made)
    reading_options(made)
    made.add_argument("-k", "--top-k", type=int, metavar="K", help="top tokens of each cell")
    made.add_argument(
        "-t", "--track", action="append", metavar="TOKEN", help="give this token's way everywhere; may be repeated"
    )
    made.add_argument(
        "--track-id", action="append", type=int, metavar="ID", help="the same for a token given by its id"
    )
    made.add_argument("--kind", metavar="KIND", help="the kind of lens (logit)")
    return made


def run(session: Session, line: str, cell: str | None) -> Any:
    """The line's text, or the cell as one text without its final newline."""
    given, text = parser().split(line)
    if cell is not None:
        if text.strip():
            raise UsageError(f"%%lens takes its text from the cell, not {text.strip()!r} from the line")
        text = cell.removesuffix("\n")
    return reading.call(session, "lens", given, text, given.out)
