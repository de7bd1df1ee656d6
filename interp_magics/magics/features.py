"""`%features`: read the features of a dictionary, search among them, test one."""

from functools import cache
from typing import Any

from IPython.core.error import UsageError

from ..corpora import listed
from ..errors import nearest
from .arguments import Parser, results
from .sae import dictionary_of, texts_of
from .session import Session, user_faults

COMMANDS = ("read", "show", "search", "test")


@cache
def parser() -> Parser:
    """The options of the magic."""
    made = Parser(
        "features", "Read the features of a dictionary over texts, look at them, search among them, test one."
    )
    results(made)
    made.add_argument("-a", "--no-wait", action="store_true", help="search: return a Job at once")
    made.add_argument("-k", "--top", type=int, metavar="K", help="search: how many rows (10)")
    made.add_argument("--sae", metavar="SAE", help="show: the dictionary, for its labels and every token's strength")
    made.add_argument("--prompt", metavar="TEXT", help="show: a text whose own latents are shown, token by token")
    made.add_argument("--over", metavar="HOW", help="search: max, mean or last activation of a text (max)")
    made.add_argument("-n", "--max-new-tokens", type=int, metavar="TOKENS", help="test: how far prompts go on (40)")
    made.add_argument("--behaviour", metavar="PATTERN", help="test: what the behaviour looks like in a completion")
    made.add_argument("--table", metavar="TABLE", help="test: what `read` gave, to choose controls by")
    made.add_argument("--neutral", metavar="TEXTS", help="test: texts that have nothing to do with it")
    return made


def run(session: Session, line: str) -> Any:
    """A command, its options, and the variables that it is about."""
    command, _, rest = line.strip().partition(" ")
    if command not in COMMANDS:
        raise UsageError(f"%features: unknown command {command!r}{nearest(command, COMMANDS)}")
    given, text = parser().split(rest.strip())
    words = text.split()
    if given.no_wait and command != "search":
        raise UsageError(f"%features {command} -a: this is more than one job, or none; leave -a out")
    return {"read": _read, "show": _show, "search": _search, "test": _test}[command](session, given, words)


def _read(session: Session, given: Any, words: list[str]) -> Any:
    if len(words) != 2:
        raise UsageError("%features read [-o NAME] SAE TEXTS")
    sae, texts = dictionary_of(session, words[0]), texts_of(session, words[1])
    with user_faults():
        return session.shown(given, session.watched(lambda pool: pool.features(sae, texts, model=given.model)))


def _show(session: Session, given: Any, words: list[str]) -> Any:
    if len(words) not in (1, 2) or not all(word.isdecimal() for word in words[1:]):
        raise UsageError("%features show [--sae SAE] [--prompt TEXT] TABLE [LATENT]: LATENT is a number")
    table = _table(session, words[0])
    sae = dictionary_of(session, given.sae) if given.sae else None
    latent = int(words[1]) if words[1:] else None
    with user_faults():
        return session.shown(given, session.pool.browse(table, sae, given.prompt, latent, model=given.model))


def _search(session: Session, given: Any, words: list[str]) -> Any:
    if len(words) != 3:
        raise UsageError("%features search [-o NAME] SAE POSITIVE NEGATIVE")
    sae = dictionary_of(session, words[0])
    sides = [texts_of(session, word) for word in words[1:]]
    chosen = {"over": given.over} if given.over else {}
    with user_faults():
        job = session.pool.search_features(sae, *sides, model=given.model, wait=False, **chosen)
        if given.no_wait:
            return session.later(given, job)
        found = session.bound(given, session.wait(job, None))
    return None if given.quiet else found.to_pandas().head(given.top or 10)


def _test(session: Session, given: Any, words: list[str]) -> Any:
    if len(words) != 4 or not words[1].isdecimal() or not given.behaviour:
        raise UsageError("%features test --behaviour PATTERN [options] SAE LATENT PRESENT ABSENT")
    sae = dictionary_of(session, words[0])
    present, absent = (listed(texts_of(session, word)) for word in words[2:])
    more: dict[str, Any] = {"max_new_tokens": given.max_new_tokens} if given.max_new_tokens else {}
    more |= {"table": _table(session, given.table)} if given.table else {}
    more |= {"neutral": listed(texts_of(session, given.neutral))} if given.neutral else {}
    with user_faults():
        proof = session.watched(
            lambda pool: pool.test_feature(
                sae, int(words[1]), present, absent, given.behaviour, model=given.model, **more
            )
        )
    return session.shown(given, proof)


def _table(session: Session, name: str) -> Any:
    from ..data.feature_table import FeatureTable

    known = [known for known, value in session.names.items() if isinstance(value, FeatureTable)]
    if name not in known:
        raise UsageError(f"there is no table of features {name!r}{nearest(name, known)}")
    return session.names[name]
