"""Pairs of texts of the demo model's world that differ in mood or in register and in nothing else."""

import random
from typing import Literal

from . import documents
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
