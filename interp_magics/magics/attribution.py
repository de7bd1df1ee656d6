"""`%attribution`: what adds to a prediction."""

from functools import cache
from typing import Any

from IPython.core.error import UsageError

from .arguments import Parser, code, filled, results
from .session import Session, user_faults


@cache
def parser() -> Parser:
    """The options of the magic."""
    made = Parser("attribution", "What embedding, attention, MLPs and heads add to a token's logit over another's.")
    results(made)
    made.add_argument("-t", "--target", metavar="TOKEN", help="the token that is explained (the likeliest)")
    made.add_argument("--foil", metavar="TOKEN", help="the token that it is compared with (the next likely)")
    made.add_argument(
        "-p", "--position", type=int, metavar="N", help="the position after which it is predicted (the last)"
    )
    made.add_argument("-f", "--format", action="store_true", help="replace {name} in the text by variables")
    made.add_argument("--show-code", action="store_true", help="show the call instead of making it")
    return made


def run(session: Session, line: str) -> Any:
    """`%attribution [options] text`."""
    given, text = parser().split(line)
    text = filled(text, session.names) if given.format else text
    if not text:
        raise UsageError("there is no text; write it after the options")
    names = ("target", "foil", "position", "model")
    chosen = {name: value for name in names if (value := getattr(given, name)) is not None}
    if given.show_code:
        print(code("pool", "attribution", [repr(text)], chosen, given.out))
        return None
    with user_faults():
        return session.shown(given, session.watched(lambda pool: pool.attribution(text, **chosen)))
