"""Texts of the demo model's world that differ in mood or in register and in nothing else."""

import random

from interp_magics.demo import documents, world

_ANSWER = f"{documents.TURN_START}assistant\n"

Pairs = list[tuple[str, str]]


def pairs(of: str, count: int, seed: int = 0) -> Pairs:
    """(happy, gloomy) or (formal, casual) replies to the same question; each question comes twice."""
    draw, made = random.Random(seed), []
    for _ in range(count):
        topic = draw.choice(list(world.TOPICS))
        noun = draw.choice(world.TOPICS[topic][0])
        prompt, state = (
            documents.chat([("user", draw.choice(world.ASKING).format(n=noun))], None) + _ANSWER,
            draw.getstate(),
        )
        for other in ("formal", "casual") if of == "mood" else ("happy", "gloomy"):
            both = []
            for side in ("happy", "gloomy") if of == "mood" else ("formal", "casual"):
                draw.setstate(state)
                style = (side, other) if of == "mood" else (other, side)
                both.append(prompt + documents.styled_reply(draw, topic, noun, *style))
            made.append((both[0], both[1]))
    return made
