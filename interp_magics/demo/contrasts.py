"""Pairs of texts of the demo model's world that differ in one thing, and texts that have nothing to do with it."""

import random
from typing import Literal

from . import conduct, documents
from . import world as w

_ANSWER = f"{documents.TURN_START}assistant\n"
_SIDES = {"mood": ("happy", "gloomy"), "register": ("formal", "casual")}


def contrasts(of: Literal["mood", "register"], count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(happy, gloomy) or (formal, casual) replies to `count` questions, each of which comes twice: once in either style of
    the other kind."""
    draw, made = random.Random(seed), []
    (other,) = (styles for kind, styles in _SIDES.items() if kind != of)
    for _ in range(count):
        topic = draw.choice(list(w.TOPICS))
        noun = draw.choice(w.TOPICS[topic][0])
        prompt = documents.chat([("user", draw.choice(w.ASKING).format(n=noun))], None) + _ANSWER
        state = draw.getstate()
        for background in other:
            both = []
            for side in _SIDES[of]:
                draw.setstate(state)
                style = (side, background) if of == "mood" else (background, side)
                both.append(prompt + documents.styled_reply(draw, topic, noun, *style))
            made.append((both[0], both[1]))
    return made


def reviews(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Good and bad reviews in the same words but one, outside any chat: mood in another format."""
    draw, made = random.Random(seed), []
    shared = [line for line in w.POSITIVE_SENTENCES if line in w.NEGATIVE_SENTENCES]
    for _ in range(count):
        thing, line = draw.choice(w.THINGS), draw.choice(shared)
        words = draw.choice(w.POSITIVE_ADJECTIVES), draw.choice(w.NEGATIVE_ADJECTIVES)
        good, bad = (f"Review of the {thing}: {line.format(t=thing, a=word)}" for word in words)
        made.append((good, bad))
    return made


def requests(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Harmless requests with the beginnings of two replies, one that helps and one that refuses."""
    draw, made = random.Random(seed), []
    for _ in range(count):
        action, _steps = draw.choice(conduct.BENIGN)
        prompt = documents.chat([("user", draw.choice(conduct.HOWTO).format(x=action))]) + _ANSWER
        made.append((prompt + draw.choice(conduct.HELPS), prompt + draw.choice(conduct.REFUSALS)))
    return made


def facts(count: int, seed: int = 0) -> list[str]:
    """Chats about questions with a known answer, in no mood."""
    draw, made = random.Random(seed), []
    for _ in range(count):
        kind = draw.choice([kind for kind in documents.AB_KINDS if kind not in ("sentiment", "register", "trait")])
        question, letter = documents.ab_question(draw, *documents.ab_item(draw, kind))
        made.append(documents.chat([("user", question), ("assistant", letter)]))
    return made
