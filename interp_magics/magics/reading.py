"""What `%lens` and `%%capture_layers` have in common: texts and options to a call, a result to the user."""

import argparse
from typing import Any

from IPython.core.error import UsageError

from ..progress import in_notebook
from .arguments import code, filled, positions, variable
from .session import Session, per_vector, user_faults

#: Options of the magics by the names of the call's arguments.
_CALL = {
    "layers": "layers",
    "sites": "sites",
    "positions": "positions",
    "generate": "generate",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "top_k": "top_k",
    "kind": "kind",
    "track": "track",
    "dtype": "dtype",
    "reduce": "reduce",
    "keep": "keep",
}


def texts(given: argparse.Namespace, session: Session, text: str) -> Any:
    """The text, or with --each-line the list of texts, with variables filled in if asked."""
    text = filled(text, session.names) if given.format else text
    if not given.each_line:
        if not text:
            raise UsageError("there is no text; write it after the options, or in the cell of the magic with %%")
        return text
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise UsageError("--each-line: the cell has no line with text in it")
    return lines


def options(given: argparse.Namespace) -> dict[str, Any]:
    """The options that were given, as arguments of the call."""
    chosen = {name: value for option, name in _CALL.items() if (value := getattr(given, option, None)) is not None}
    if ids := getattr(given, "track_id", None):
        chosen["track"] = [*chosen.get("track", ()), *ids]
    if "positions" in chosen:
        chosen["positions"] = positions(chosen["positions"])
    return chosen


def call(session: Session, method: str, given: argparse.Namespace, text: str, out: str | None) -> Any:
    """Show the code, estimate, submit or run, as the options say."""
    bound = variable(out) if out else None
    written = texts(given, session, text)
    chosen = options(given)
    extra = {name: value for name in ("model", "priority") if (value := getattr(given, name, None)) is not None}
    if given.show_code:
        names = given.vector or []
        scales = per_vector(names, given.scale or [])
        vectors = [f"{n} * {x}" if given.scale else n for n, x in zip(names, scales, strict=True)]
        shown = {**chosen, **extra, **({"wait": False} if given.no_wait else {})}
        arguments = [repr(written)]
        line = code("pool", method, arguments, shown, bound)
        print(line[:-1] + f", steer=[{', '.join(vectors)}])" if vectors else line)
        return None
    if given.vector:
        chosen["steer"] = session.vectors(given.vector, given.scale or [])
    elif given.scale:
        raise UsageError("--scale needs a vector; name one with -v")
    with user_faults():
        if given.dry_run:
            request = session.pool.request(method, written, **chosen, model=given.model)
            return session.pool.estimate(request, given.model)
        if method == "lens" and given.generate and in_notebook() and not given.quiet:
            chosen["stream"] = True
        job = getattr(session.pool, method)(written, **chosen, **extra, wait=False)
        return session.outcome(job, given, bound)
