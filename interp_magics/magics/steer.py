"""`%steer` and `%%steer`: a vector from a cell, its effect on a text, its effect on answers."""

from functools import cache
from typing import Any, get_args

from IPython.core.error import UsageError

from ..data.vector_edits import OpName
from ..program.layers import parse_layers
from .arguments import Parser, code, common, filled, positions, variable
from .session import Session, per_vector, user_faults

OPS = get_args(OpName)
_SIDES = {"+": 0, "-": 1}


@cache
def parser() -> Parser:
    """The options of the magic."""
    made = Parser("steer", "Fit a steering vector, see what it does to a text, or measure what it does to answers.")
    common(made)
    made.add_argument("-l", "--layers", metavar="SPEC", help="0,4,8: or -1 or ::4; all by default")
    made.add_argument("-s", "--site", metavar="SITE", help="where it is read, and later written")
    made.add_argument("--at", metavar="WHERE", help="fit: last, mean, label, or a position")
    made.add_argument("--method", metavar="METHOD", help="fit: mean_difference, logistic, pca")
    made.add_argument("-v", "--vector", action="append", metavar="NAME", help="a vector to steer with; may be repeated")
    made.add_argument(
        "--scale", type=float, action="append", metavar="X", help="multiplier; one for all, or one for each"
    )
    made.add_argument("--op", choices=OPS, help="what is done with the vector (add)")
    made.add_argument("--unit", choices=("raw", "stream"), help="the unit of the scale (raw)")
    made.add_argument("-p", "--positions", metavar="WHICH", help="all, last, prompt, generated, or numbers")
    made.add_argument("-n", "--max-new-tokens", type=int, metavar="TOKENS", help="how far the text goes on (40)")
    made.add_argument("--temperature", type=float, metavar="T", help="0 is greedy")
    made.add_argument("--top-p", type=float, metavar="P")
    made.add_argument("--seed", type=int, metavar="N")
    made.add_argument("--slope", metavar="FILE", help="measure the answers to the questions of a file")
    made.add_argument("--template", metavar="TEXT", help="how a question is put, with {question} in it")
    made.add_argument("--scales", metavar="NUMBERS", help="the scales of --slope, joined by commas")
    return made


#: Options that only some of the magic's uses have, by those uses.
_ONLY = {
    "layers": ("fit", "slope", "text"),
    "site": ("fit",),
    "at": ("fit",),
    "method": ("fit",),
    "vector": ("slope", "text"),
    "scale": ("slope", "text"),
    "op": ("text",),
    "unit": ("slope", "text"),
    "positions": ("slope", "text"),
    "max_new_tokens": ("text",),
    "temperature": ("text",),
    "top_p": ("text",),
    "seed": ("text",),
    "slope": ("slope",),
    "template": ("slope",),
    "scales": ("slope",),
}
_USES = {"fit": "when a cell is fitted", "slope": "with --slope", "text": "when a text is steered"}


def run(session: Session, line: str, cell: str | None) -> Any:
    """A cell is fitted; a line is steered, or measured with --slope."""
    given, text = parser().split(line)
    use = "fit" if cell is not None else "slope" if given.slope else "text"
    for name, uses in _ONLY.items():
        if use not in uses and getattr(given, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} means nothing {_USES[use]}; it is for use {' or '.join(_USES[u] for u in uses)}"
            )
    if cell is not None:
        name = text.strip()
        if name and given.out:
            raise UsageError(f"the vector has two names, {given.out!r} and {name!r}; give one")
        return _fit(session, given, cell, given.out or name or None)
    if given.slope:
        return _measure(session, given, text)
    return _text(session, given, text)


def _fit(session: Session, given: Any, cell: str, out: str | None) -> Any:
    sides = _sides(filled(cell, session.names) if given.format else cell)
    chosen = _options(given, layers="layer", site="site", at="position", method="method")
    place = chosen.get("position", "")
    if place.lstrip("-").isdecimal():
        chosen["position"] = int(place)
    bound = variable(out) if out else None
    if bound:
        chosen["name"] = bound
    if given.show_code:
        print(code("pool", "steering_vector", [repr(sides[0]), repr(sides[1])], chosen, bound))
        return None
    return _called(session, given, "steering_vector", (*sides,), chosen, bound)


def _sides(cell: str) -> tuple[list[str], list[str]]:
    """The lines that begin with "+ " and those that begin with "- ". Raises UsageError for any other."""
    found: tuple[list[str], list[str]] = ([], [])
    for number, line in enumerate(cell.splitlines(), 1):
        if not line.strip():
            continue
        sign, blank, text = line.partition(" ")
        if sign not in _SIDES or not blank or not text.strip():
            raise UsageError(f"line {number}: {line[:40]!r} begins with neither '+ ' nor '- '; each line is one text")
        found[_SIDES[sign]].append(text)
    return found


def _measure(session: Session, given: Any, text: str) -> Any:
    from ..data.questions import read_questions

    if text.strip():
        raise UsageError(f"--slope takes its questions from the file, not {text.strip()!r} from the line")
    vectors = session.vectors(given.vector or [], given.scale or [])
    if len(vectors) != 1:
        raise UsageError(f"--slope measures one vector, not {len(vectors)}; name it with -v")
    chosen = _options(given, layers="layers", unit="unit")
    if given.positions:
        chosen["positions"] = positions(given.positions)
    if given.scales:
        chosen["scales"] = _numbers(given.scales)
    if given.show_code:
        items = f"im.read_questions({given.slope!r}" + (f", {given.template!r})" if given.template else ")")
        scale = f" * {given.scale[0]}" if given.scale else ""
        print(code("pool", "steerability", [f"{given.vector[0]}{scale}", items], chosen, given.out))
        return None
    with user_faults():
        asked = read_questions(given.slope, given.template)
    return _called(session, given, "steerability", (vectors[0], asked), chosen, given.out)


def _text(session: Session, given: Any, text: str) -> Any:
    if not text:
        raise UsageError("there is no text; write it after the options, or fit a vector in a cell with %%steer")
    if given.no_wait:
        raise UsageError("-a: a text is steered in several steps, so there is no one job to return")
    names, scales = given.vector or [], given.scale or []
    if not names:
        raise UsageError("name the vector to steer with: -v NAME")
    written = filled(text, session.names) if given.format else text
    how = _options(given, op="op", unit="unit")
    if given.positions:
        how["positions"] = positions(given.positions)
    chosen = _options(given, "max_new_tokens", "temperature", "top_p", "seed", "model", "priority", "timeout")
    layers = _layers(session, given)
    if given.show_code:
        names = [f"{name}.at({', '.join(map(str, layers))})" for name in names] if layers else names
        factors = per_vector(names, scales) if scales else [None] * len(names)
        shown = [_edited(name, factor, how) for name, factor in zip(names, factors, strict=True)]
        print(code("pool", "steered", [repr(written), f"[{', '.join(shown)}]"], chosen, given.out))
        return None
    bound = variable(given.out) if given.out else None
    vectors = session.vectors(names, scales)
    with user_faults():
        vectors = [vector.at(*layers) for vector in vectors] if layers else vectors
        steer = [vector.edit(**how) for vector in vectors] if how else vectors
        if given.dry_run:
            request = session.pool.request("generate", written, given.max_new_tokens or 40, steer=steer)
            return session.pool.estimate(request, given.model)
        result = session.watched(lambda pool: pool.steered(written, steer, **chosen))
    session.bind(bound, result)
    return None if given.quiet else result


def _layers(session: Session, given: Any) -> tuple[int, ...]:
    with user_faults():
        return parse_layers(given.layers, session.pool.card(given.model).layers) if given.layers else ()


def _edited(name: str, factor: float | None, how: dict[str, Any]) -> str:
    scaled = name if factor is None else f"{name} * {factor}"
    arguments = ", ".join(f"{key}={value!r}" for key, value in how.items())
    return f"({scaled}).edit({arguments})" if how else scaled


def _options(given: Any, *same: str, **named: str) -> dict[str, Any]:
    """The options that were given, by the names of the call's arguments."""
    wanted = {**{name: name for name in same}, **named}
    return {argument: getattr(given, name) for name, argument in wanted.items() if getattr(given, name) is not None}


def _numbers(given: str) -> list[float]:
    try:
        return [float(part) for part in given.split(",")]
    except ValueError:
        raise UsageError(f"--scales are numbers joined by commas, not {given!r}") from None


def _called(
    session: Session, given: Any, method: str, arguments: tuple[Any, ...], chosen: dict[str, Any], out: str | None
) -> Any:
    bound = variable(out) if out else None
    extra = _options(given, "model", "priority")
    with user_faults():
        if given.dry_run:
            return session.pool.estimate(session.pool.request(method, *arguments, **chosen), given.model)
        job = getattr(session.pool, method)(*arguments, **chosen, **extra, wait=False)
        return session.outcome(job, given, bound)
