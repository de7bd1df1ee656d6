"""Completion of options, models, runs and vectors: from what is known here, never from the network."""

import re
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from ..program.sites import SITES
from . import attribution, capture, features, lens, pool, sae, steer
from .arguments import Parser
from .session import Session

_MAGIC = re.compile(r"^\s*%{1,2}(lens|attribution|capture_layers|steer|sae|features|pool|jobs)\s(.*)$", re.S)

MATCHER_ID = "interp_magics.options"


_PARSERS = {
    "lens": lens.parser,
    "attribution": attribution.parser,
    "capture_layers": capture.parser,
    "steer": steer.parser,
    "sae": sae.parser,
    "features": features.parser,
}
#: Magics whose first word is a command.
_COMMANDS = {"sae": sae.COMMANDS, "features": features.COMMANDS}
#: What the words after the options are the names of.
_KINDS = {"sae": ("Dictionary", "list"), "features": ("Dictionary", "FeatureTable", "list")}


def make(session: Session) -> Any:
    """A matcher for the magics of a session."""

    @context_matcher(identifier=MATCHER_ID)
    def matcher(context: CompletionContext) -> SimpleMatcherResult:
        found = _MAGIC.match(context.full_text[: context.cursor_position])
        words = _words(session, found[1], found[2]) if found else []
        matched = [word for word in words if word.startswith(context.token)]
        return {
            "completions": [SimpleCompletion(text=word, type="magic") for word in matched],
            "suppress": bool(matched),
        }

    return matcher


def _words(session: Session, magic: str, line: str) -> list[str]:
    if magic == "jobs":
        return []
    if magic == "pool":
        return list(session.model_names) if line.split()[:1] in (["use"], ["card"]) else list(pool.COMMANDS)
    parser = _PARSERS[magic]()
    before = line.split()[:-1] if line and not line[-1].isspace() else line.split()
    if magic in _COMMANDS:
        if not before:
            return list(_COMMANDS[magic])
        before = before[1:]
    option = before[-1] if before else ""
    if magic in _KINDS and (not option.startswith("-") or _in_text(parser, before)):
        names = [n for n, v in session.names.items() if type(v).__name__ in _KINDS[magic] and not n.startswith("_")]
        return names if _in_text(parser, before) else [*names, *parser.options()]
    return _values(session, parser, option) or ([] if _in_text(parser, before) else parser.options())


def _values(session: Session, parser: Parser, option: str) -> list[str]:
    action = parser.option(option)
    if action is None or action.nargs == 0:
        return []
    if action.choices:
        return [str(choice) for choice in action.choices]
    if action.dest in ("sites", "site"):
        return list(SITES)
    if action.dest == "model":
        return list(session.model_names)
    if action.dest == "vector":
        return [name for name, value in session.names.items() if type(value).__name__ == "SteeringVector"]
    if action.dest == "positions":
        return ["all", "first", "last", "prompt", "generated"]
    if action.dest == "out":
        return [name for name, value in session.names.items() if type(value).__name__ in ("LensRun", "Activations")]
    return []


def _in_text(parser: Parser, words: list[str]) -> bool:
    """Whether the words have left the options behind."""
    place = 0
    while place < len(words):
        action = parser.option(words[place].partition("=")[0])
        if action is None:
            return True
        place += 1 if action.nargs == 0 or "=" in words[place] else 2
    return False
