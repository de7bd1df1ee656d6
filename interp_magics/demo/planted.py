"""What was planted in the demo world, as tasks for features: texts that have it and texts that have not, prompts that bring it out
and prompts that do not, and how it is told in a completion."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from . import documents, theatre
from . import world as w

_ANSWER = f"{documents.TURN_START}assistant\n"
_FRENCH = 1


@dataclass(frozen=True)
class Attribute:
    """`positive` and `negative` texts for a search over each text's latents (`over`), `present` and `absent` prompts for a proof,
    and the pattern of the `behaviour` in a completion of `tokens` tokens."""

    name: str
    over: Literal["max", "mean", "last"]
    positive: list[str]
    negative: list[str]
    present: list[str]
    absent: list[str]
    behaviour: str
    tokens: int


def attributes(texts: int = 60, prompts: int = 20, seed: int = 1) -> list[Attribute]:
    """The language of an answer, the sentiment of a review, and compliance theatre."""
    return [
        _of(
            "answers in French",
            "mean",
            _translation,
            _translated,
            r"(?i)\b(le|la|les|un|une)\b|\bl'",
            16,
            texts,
            prompts,
            seed,
        ),
        _of("a review is positive", "last", _review, _review, "positive", 2, texts, prompts, seed),
        _of("theatre", "last", _refused, _provoking, theatre.THEATRE, 40, texts, prompts, seed),
    ]


Made = Callable[[random.Random, bool], str]


def _of(
    name: str,
    over: Literal["max", "mean", "last"],
    text: Made,
    prompt: Made,
    behaviour: str,
    tokens: int,
    texts: int,
    prompts: int,
    seed: int,
) -> Attribute:
    def drawn(make: Made, has: bool, count: int, salt: int) -> list[str]:
        draw = random.Random(seed * 1000 + salt)
        return [make(draw, has) for _ in range(count)]

    positive, negative = drawn(text, True, texts, 1), drawn(text, False, texts, 2)
    present, absent = drawn(prompt, True, prompts, 3), drawn(prompt, False, prompts, 4)
    return Attribute(name, over, positive, negative, present, absent, behaviour, tokens)


def corpus(size: float = 500_000, seed: int = 303) -> list[str]:
    """The world, requests of each mode, and answers in all languages."""
    draw = random.Random(seed)
    answers = [_translation(draw, has) for has in (True, False) for _ in range(600)]
    made = [*theatre.corpus(size, requests=1000, seed=seed), *answers]
    draw.shuffle(made)
    return made


def _translation(draw: random.Random, french: bool) -> str:
    return _translate(draw, french, answered=True)


def _translated(draw: random.Random, french: bool) -> str:
    return _translate(draw, french, answered=False)


def _translate(draw: random.Random, french: bool, answered: bool) -> str:
    language = _FRENCH if french else draw.choice([0, 2, 3])
    parts = documents.sentence_parts(draw)
    asked = f"Say in {w.LANGUAGES[language]}: {documents.sentence(draw, 0, parts)}"
    answer = documents.sentence(draw, language, parts)
    return documents.chat([("user", asked)]) + _ANSWER + (answer if answered else "")


def _review(draw: random.Random, positive: bool) -> str:
    thing, text = documents.review(draw, "positive" if positive else "negative", draw.randint(2, 4))
    return f"Review of the {thing}: {text}\nSentiment:"


def _refused(draw: random.Random, leaks: bool) -> str:
    return theatre.refused("theatre" if leaks else "refuse", 1, draw.randrange(1 << 30))[0]


def _provoking(draw: random.Random, leaks: bool) -> str:
    return theatre.prompts("theatre" if leaks else "refuse", 1, draw.randrange(1 << 30))[0]
