"""A question mark at the end of a prompt is the prompt's.

IPython takes any line that ends in `word?` as a request for help, and it looks before it looks for magics: without this,
`%lens Who are you?` would show the help of "you".
"""

import re

_QUESTION = re.compile(r"^(\s*)((?:[^\W\d]\w*\s*=\s*)?)%(lens|attribution|steer)[ \t](.*\S.*\?)[ \t]*$")


def protect(lines: list[str]) -> list[str]:
    """The lines of a cell, with a one-line magic that ends in a question written as the call that it is."""
    if len([line for line in lines if line.strip()]) == 0 or lines[0].lstrip().startswith("%%"):
        return lines
    return [_protected(line) for line in lines]


def _protected(line: str) -> str:
    found = _QUESTION.match(line.rstrip("\n"))
    if not found:
        return line
    indent, assigned, name, text = found.groups()
    return f"{indent}{assigned}get_ipython().run_line_magic({name!r}, {text!r})\n"
