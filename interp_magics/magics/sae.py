"""`%sae`: train, load, evaluate and save dictionaries."""

from functools import cache
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

from ..errors import nearest
from .arguments import Parser, code, results
from .session import Session, user_faults

COMMANDS = ("train", "load", "eval", "save")
_LAID = "pool:"


@cache
def parser() -> Parser:
    """The options of the magic."""
    made = Parser("sae", "Train a sparse autoencoder on the pool, load one, evaluate it, save it.")
    results(made)
    made.add_argument("-l", "--layer", type=int, metavar="LAYER", help="train: the layer that it reads")
    made.add_argument("-s", "--site", metavar="SITE", help="train: where in the layer (resid_post)")
    made.add_argument(
        "--architecture", metavar="KIND", help="train: batch_topk, topk, matryoshka, jumprelu, gated, relu"
    )
    made.add_argument("--expansion", type=float, metavar="X", help="train: latents for each coordinate (8)")
    made.add_argument("--latents", type=int, metavar="M", help="train: how many latents instead")
    made.add_argument("-k", "--k", type=int, metavar="K", help="train: active latents of a token (32)")
    made.add_argument("--sparsity", type=float, metavar="X", help="train: lambda of relu, jumprelu and gated")
    made.add_argument("--tokens", type=int, metavar="N", help="train: tokens to learn from (1000000)")
    made.add_argument("--batch", type=int, metavar="N", help="train: tokens of a step (2048)")
    made.add_argument("--seed", type=int, metavar="N")
    made.add_argument("--path", metavar="DIRECTORY", help="train: where the state is kept, to go on from")
    made.add_argument("--force", action="store_true", help="load: although it was trained on another checkpoint")
    made.add_argument("--dry-run", action="store_true", help="train: estimate, do not run")
    made.add_argument("--show-code", action="store_true", help="print the equivalent Python call")
    made.add_argument("-a", "--no-wait", action="store_true", help="eval: return a Job at once")
    return made


_TRAINING = (
    "site",
    "architecture",
    "expansion",
    "latents",
    "k",
    "sparsity",
    "tokens",
    "batch",
    "seed",
    "path",
    "model",
)


def run(session: Session, line: str) -> Any:
    """A command, its options, and what it is about: variables, or a file."""
    command, _, rest = line.strip().partition(" ")
    if command not in COMMANDS:
        raise UsageError(f"%sae: unknown command {command!r}{nearest(command, COMMANDS)}")
    given, text = parser().split(rest.strip())
    words = text.split()
    if given.no_wait and command != "eval":
        raise UsageError(f"%sae {command} -a: this is more than one job, or none; leave -a out")
    if given.dry_run and command != "train":
        raise UsageError(f"%sae {command} --dry-run: what a training costs can be told; leave --dry-run out")
    return {"train": _train, "load": _load, "eval": _evaluate, "save": _save}[command](session, given, words)


def _train(session: Session, given: Any, words: list[str]) -> Any:
    if len(words) != 1 or given.layer is None:
        raise UsageError(
            "%sae train -l LAYER [options] TEXTS: texts are a variable, a .txt or .jsonl file, pool:NAME (a corpus of the pool), or a "
            "directory of captured activations"
        )
    options = {name: getattr(given, name) for name in _TRAINING if getattr(given, name) is not None}
    if given.show_code:
        print(code("pool", "train_sae", [words[0], str(given.layer)], options, given.out))
        return None
    texts = texts_of(session, words[0])
    if given.dry_run:
        options.pop("path", None)
        with user_faults():
            recipe = session.pool.recipe(given.layer, **options)
            return session.pool.estimate_training([recipe], model=given.model)
    with user_faults():
        made = session.watched(lambda pool: pool.train_sae(texts, given.layer, **options))
    return session.shown(given, made)


def _load(session: Session, given: Any, words: list[str]) -> Any:
    if len(words) != 1:
        raise UsageError("%sae load [-o NAME] DIRECTORY")
    from ..data.dictionary_files import load_sae

    with user_faults():
        made = load_sae(words[0], given.force, session.pool.card(given.model).digest)
    return session.shown(given, made)


def _evaluate(session: Session, given: Any, words: list[str]) -> Any:
    if len(words) != 2:
        raise UsageError("%sae eval [-o NAME] SAE TEXTS")
    if given.show_code:
        print(code("pool", "evaluate_sae", words, {}, given.out))
        return None
    sae, texts = dictionary_of(session, words[0]), texts_of(session, words[1])
    with user_faults():
        job = session.pool.evaluate_sae(sae, texts, model=given.model, wait=False)
        return session.later(given, job)


def _save(session: Session, given: Any, words: list[str]) -> Any:
    if len(words) != 2:
        raise UsageError("%sae save SAE DIRECTORY")
    with user_faults():
        written = dictionary_of(session, words[0]).save(words[1])
    return None if given.quiet else written


def dictionary_of(session: Session, name: str) -> Any:
    """The dictionary that a variable holds."""
    from ..data.dictionary import Dictionary

    known = [known for known, value in session.names.items() if isinstance(value, Dictionary)]
    if name not in known:
        raise UsageError(f"there is no dictionary {name!r}{nearest(name, known)}")
    return session.names[name]


def texts_of(session: Session, name: str) -> Any:
    """A variable with texts, a file of them, or pool:NAME, a corpus of the pool; to train also what was captured of them, or its
    directory."""
    if name.startswith(_LAID):
        with user_faults():
            return session.pool.corpus(name.removeprefix(_LAID))
    if name in session.names and not name.startswith("_"):
        return session.names[name]
    if Path(name).expanduser().exists():
        return Path(name)
    known = [
        known for known, value in session.names.items() if isinstance(value, list | tuple) and not known.startswith("_")
    ]
    raise UsageError(f"there is no variable and no file {name!r}{nearest(name, known)}")
