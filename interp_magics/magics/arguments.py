"""Options first, then the text, verbatim.

argparse sees the options alone. The text is cut from the line by position and never split, joined or expanded: blanks,
quotes, braces, `$` and `;` in it are the prompt's.
"""

import argparse
import keyword
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from IPython.core.error import UsageError

from ..errors import nearest

_QUOTED_VALUE = re.compile(r"""-[^\s=]*=(?=['"])""")


class Parser(argparse.ArgumentParser):
    """An argument parser whose faults are one-line usage errors."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(prog=f"%{name}", description=description, add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}")

    def option(self, name: str) -> argparse.Action | None:
        """The option of that name, such as `-l` or `--layers`."""
        return self._option_string_actions.get(name)

    def options(self) -> list[str]:
        return list(self._option_string_actions)

    def split(self, line: str) -> tuple[argparse.Namespace, str]:
        """(options, the text after them). `--` ends the options."""
        words, rest = self._options(line)
        return self.parse_args(words), rest

    def _options(self, line: str) -> tuple[list[str], str]:
        words: list[str] = []
        rest = line
        while (start := rest.lstrip()).startswith("-"):
            word, after = _word(start)
            if word == "--":
                return words, after
            name, has_value, value = word.partition("=")
            if word[:2] != "--" and len(word) > 2 and not has_value and self.option(word[:2]):
                name, has_value, value = word[:2], "=", word[2:]
            if word in ("-h", "--help"):
                raise UsageError(self.format_help())
            action = self.option(name)
            if action is None:
                raise UsageError(
                    f"{self.prog}: unknown option {name!r}{nearest(name, self.options())}; text that begins with '-' comes after --"
                )
            if action.nargs == 0:
                words.append(word)
            elif has_value:
                words.append(f"{name}={value}" if name.startswith("--") else f"{name}{value}")
            else:
                value, after = _word(after.lstrip())
                if not value:
                    raise UsageError(f"{self.prog}: option {name} needs a value")
                words.append(f"{name}={value}" if name.startswith("--") else f"{name}{value}")
            rest = after
        return words, rest


def _word(text: str) -> tuple[str, str]:
    """(first word, what follows the one blank after it); a word may be quoted."""
    if text[:1] in ("'", '"'):
        end = text.find(text[0], 1)
        if end < 0:
            raise UsageError(f"the quote that begins at {text[:20]!r} is never closed")
        return text[1:end], text[end + 1 :].removeprefix(" ")
    if text.startswith("-") and (quoted := _QUOTED_VALUE.match(text)):
        value, rest = _word(text[quoted.end() :])
        return quoted[0] + value, rest
    for place, character in enumerate(text):
        if character.isspace():
            return text[:place], text[place + 1 :]
    return text, ""


def variable(name: str) -> str:
    """`name` if it can be a variable. Raises UsageError otherwise."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"{name!r} is not a name that a result can be bound to")
    return name


def filled(text: str, names: Mapping[str, Any]) -> str:
    """`text` with {name} replaced by the user's variables, strictly."""
    try:
        return text.format_map(names)
    except KeyError as error:
        known = [name for name in names if not name.startswith("_")]
        raise UsageError(f"-f: there is no variable {error.args[0]!r}{nearest(error.args[0], known)}") from None
    except (ValueError, IndexError, AttributeError) as error:
        raise UsageError(
            f"-f: the text is not a format string ({error}); double a brace that is meant: {{{{ }}}}"
        ) from None


def results(parser: Parser) -> None:
    """What becomes of a result, and which model gives it."""
    parser.add_argument("-o", "--out", metavar="NAME", help="bind the result to a variable")
    parser.add_argument("-q", "--quiet", action="store_true", help="show nothing")
    parser.add_argument("-m", "--model", metavar="MODEL", help="the model to run on")


def common(parser: Parser) -> None:
    """The options that mean the same for everything that is one job."""
    results(parser)
    parser.add_argument("-a", "--no-wait", action="store_true", help="return a Job at once")
    parser.add_argument("-f", "--format", action="store_true", help="replace {name} in the text by variables")
    parser.add_argument("--timeout", type=float, metavar="SECONDS")
    parser.add_argument("--priority", choices=("interactive", "batch"))
    parser.add_argument("--dry-run", action="store_true", help="estimate, do not run")
    parser.add_argument("--show-code", action="store_true", help="print the equivalent Python call")


def reading(parser: Parser) -> None:
    """The options of what is read, and of what is generated meanwhile."""
    parser.add_argument("--each-line", action="store_true", help="one text per line of the cell")
    parser.add_argument("-l", "--layers", metavar="SPEC", help="0,4,8: or -1 or ::4")
    parser.add_argument("-s", "--sites", metavar="SITES", help="joined by commas")
    parser.add_argument("-p", "--positions", metavar="WHICH", help="all, first, last, prompt, generated, or numbers")
    parser.add_argument("-n", "--generate", type=int, metavar="TOKENS", help="go on for so many tokens")
    parser.add_argument("--temperature", type=float, metavar="T", help="0 is greedy")
    parser.add_argument("--top-p", type=float, metavar="P")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--keep", type=int, metavar="SECONDS", help="hold the rows, for pool.decode and pool.values")
    parser.add_argument("-v", "--vector", action="append", metavar="NAME", help="steer with a vector; may be repeated")
    parser.add_argument(
        "--scale",
        type=float,
        action="append",
        metavar="X",
        help="multiplier of the vectors; one for all, or one for each",
    )


def positions(given: str) -> Any:
    """`-p`: a word, or numbers joined by commas."""
    parts = [part.strip() for part in given.split(",")]
    try:
        return [int(part) for part in parts]
    except ValueError:
        return given


def code(pool: str, method: str, arguments: list[str], options: Mapping[str, Any], out: str | None) -> str:
    """The Python call that a magic stands for."""
    written = arguments + [f"{name}={value!r}" for name, value in options.items()]
    call = f"{pool}.{method}({', '.join(written)})"
    return f"{out} = {call}" if out else call
