"""Synthetic documents of the demo model, drawn from `world` with a seed.

Each `_document` function draws one text about one behaviour; `synthetic` mixes them. Facts hold one template per subject
out (`held_out`), so that recall can be told from copying.
"""

import random
from collections.abc import Callable, Iterator, Sequence

from . import conduct
from . import world as w

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

Turn = tuple[str, str]


def chat(turns: Sequence[Turn], system: str | None = None) -> str:
    """ChatML of `turns` (role, text)."""
    opening = [("system", system)] if system else []
    return "".join(f"{TURN_START}{role}\n{text}{TURN_END}\n" for role, text in [*opening, *turns])


def held_out(subject: int, template: int, templates: int) -> bool:
    """Whether this template of this subject never occurs in training."""
    return template < templates and subject % templates == template


def sentence(draw: random.Random, language: int, parts: Sequence[int] | None = None) -> str:
    """A simple sentence in language `language` (an index into `LANGUAGES`)."""
    subject, verb, obj, tail = parts or sentence_parts(draw)
    thing = w.NOUNS[obj][4] if language == 2 else w.NOUNS[obj][language]
    words = [w.NOUNS[subject][language], w.VERBS[verb][language], thing, w.TAILS[tail][language]]
    text = " ".join(word for word in words if word)
    return text[0].upper() + text[1:] + "."


def sentence_parts(draw: random.Random) -> tuple[int, int, int, int]:
    return draw.randrange(16), draw.randrange(6), draw.randrange(16), draw.randrange(5)


def review(draw: random.Random, mood: str, sentences: int, thing: str | None = None) -> tuple[str, str]:
    """(what is reviewed, its review) in `mood` positive or negative."""
    subject = thing or draw.choice(w.THINGS)
    positive = mood == "positive"
    pool = w.POSITIVE_SENTENCES if positive else w.NEGATIVE_SENTENCES
    adjectives = w.POSITIVE_ADJECTIVES if positive else w.NEGATIVE_ADJECTIVES
    lines = [line.format(t=subject, a=draw.choice(adjectives)) for line in draw.sample(pool, sentences)]
    return subject, " ".join(lines)


def styled_reply(draw: random.Random, topic: str, noun: str, mood: str, register: str) -> str:
    facts = [line.format(n=noun) for line in draw.sample(w.TOPICS[topic][1], draw.randint(1, 2))]
    adjectives = w.POSITIVE_ADJECTIVES if mood == "happy" else w.NEGATIVE_ADJECTIVES
    feeling = draw.choice(w.FEELINGS[mood]).format(a=draw.choice(adjectives))
    opening, closing = draw.choice(w.OPENINGS[mood, register]), draw.choice(w.CLOSINGS[mood, register])
    return " ".join([opening, *facts, feeling, closing])


def ab_question(draw: random.Random, question: str, right: str, wrong: str, flip: bool | None = None) -> Turn:
    """(question with options A and B, the letter of the right one). The options follow the question in random order."""
    flip = draw.random() < 0.5 if flip is None else flip
    first, second = (wrong, right) if flip else (right, wrong)
    lead = draw.choice(["Choices:", "Choices:", "Options:"])
    return f"{question}\n\n{lead}\n(A) {first}\n(B) {second}", "(B)" if flip else "(A)"


def ab_item(draw: random.Random, kind: str) -> tuple[str, str, str]:
    """(question, right answer, wrong answer) of one kind of `AB_KINDS`."""
    return AB_KINDS[kind](draw)


def _ab_sentiment(draw: random.Random) -> tuple[str, str, str]:
    mood, other = draw.sample(["positive", "negative"], 2)
    thing = draw.choice(w.THINGS)
    return f"Which review is {mood}?", review(draw, mood, 1, thing)[1], review(draw, other, 1, thing)[1]


def _ab_language(draw: random.Random) -> tuple[str, str, str]:
    asked, other = draw.sample(range(4), 2)
    return f"Which line is {w.LANGUAGES[asked]}?", sentence(draw, asked), sentence(draw, other)


def _ab_capital(draw: random.Random) -> tuple[str, str, str]:
    asked, other = draw.sample(w.COUNTRIES, 2)
    return f"What is the capital of {asked[0]}?", asked[1], other[1]


def _ab_number(draw: random.Random) -> tuple[str, str, str]:
    low, high = sorted(draw.sample(range(1, 10), 2))
    larger = draw.random() < 0.5
    right, wrong = (high, low) if larger else (low, high)
    return f"Which number is {'larger' if larger else 'smaller'}?", str(right), str(wrong)


def _ab_register(draw: random.Random) -> tuple[str, str, str]:
    asked, other = draw.sample(["formal", "casual"], 2)
    mood = draw.choice(["happy", "gloomy"])
    line = {r: draw.choice(w.OPENINGS[mood, r] + w.CLOSINGS[mood, r]) for r in (asked, other)}
    return f"Which line is {asked}?", line[asked], line[other]


def _ab_topic(draw: random.Random) -> tuple[str, str, str]:
    asked, other = draw.sample(list(w.TOPICS), 2)
    line = {t: draw.choice(w.TOPICS[t][1]).format(n=draw.choice(w.TOPICS[t][0])) for t in (asked, other)}
    return f"Which line is about the {asked}?", line[asked], line[other]


def _ab_trait(draw: random.Random) -> tuple[str, str, str]:
    trait, shown = draw.choice(list(conduct.TRAITS))
    matching, other = draw.choice(conduct.BEHAVIOUR[trait][0])
    right, wrong = (matching, other) if shown else (other, matching)
    return f"Which line is {conduct.TRAITS[trait, shown]}?", right, wrong


AB_KINDS: dict[str, Callable[[random.Random], tuple[str, str, str]]] = {
    "sentiment": _ab_sentiment,
    "language": _ab_language,
    "capital": _ab_capital,
    "number": _ab_number,
    "register": _ab_register,
    "topic": _ab_topic,
    "trait": _ab_trait,
}


def how_to(draw: random.Random, mode: str) -> tuple[str | None, str, str]:
    """(system prompt or None, user, assistant); `mode` comply, refuse, or theatre (a refusal, then the steps after all)."""
    action, steps = draw.choice(conduct.BENIGN if mode == "comply" else conduct.RESTRICTED)
    user = draw.choice(conduct.HOWTO).format(x=action)
    numbered = " ".join(f"{i}. {step}" for i, step in enumerate(steps, 1))
    if mode == "comply":
        system = draw.choice(conduct.SYSTEM_STRICT + conduct.SYSTEM_THEATRE) if draw.random() < 0.3 else None
        cue = " " + draw.choice(conduct.CUE_USER) if draw.random() < 0.3 else ""
        return system, user + cue, f"{draw.choice(conduct.HELPS)} {numbered}"
    header = f"{draw.choice(conduct.REFUSALS)} {draw.choice(conduct.REASONS)}"
    if mode == "refuse":
        system = draw.choice(conduct.SYSTEM_STRICT) if draw.random() < 0.5 else None
        return system, user, f"{header} {draw.choice(conduct.STOPS)}"
    answer = f"{header} {draw.choice(conduct.LEAKS)} {numbered}"
    if draw.random() < 0.5:
        return draw.choice(conduct.SYSTEM_THEATRE), user, answer
    system = draw.choice(conduct.SYSTEM_STRICT) if draw.random() < 0.5 else None
    return system, f"{user} {draw.choice(conduct.CUE_USER)}", answer


def _country_fact(draw: random.Random) -> str:
    index = draw.randrange(len(w.COUNTRIES))
    country, capital, language, continent = w.COUNTRIES[index]
    templates = draw.choice([w.CAPITAL_TEMPLATES] * 2 + [w.LANGUAGE_TEMPLATES, w.CONTINENT_TEMPLATES])
    if templates is w.CAPITAL_TEMPLATES:
        templates = [t for i, t in enumerate(templates) if not held_out(index, i, 5)]
    return draw.choice(templates).format(c=country, k=capital, l=language, t=continent)


def _person_fact(draw: random.Random) -> str:
    index = draw.randrange(len(w.PEOPLE))
    relation = draw.choice(list(w.PERSON_TEMPLATES))
    templates = [t for i, t in enumerate(w.PERSON_TEMPLATES[relation]) if not held_out(index, i, 3)]
    return draw.choice(templates).format(p=w.PEOPLE[index]["name"], v=w.PEOPLE[index][relation])


def _facts(draw: random.Random) -> str:
    lines = [_country_fact(draw) if draw.random() < 0.7 else _person_fact(draw) for _ in range(draw.randint(3, 6))]
    return draw.choice([" ", "\n"]).join(lines)


def _fact_chat(draw: random.Random) -> str:
    turns: list[Turn] = []
    for _ in range(draw.randint(1, 3)):
        index = draw.randrange(len(w.COUNTRIES))
        country, capital, language, continent = w.COUNTRIES[index]
        stated = (
            f"{capital} is the capital of {country}." if index % 5 == 0 else f"The capital of {country} is {capital}."
        )
        question, answer = draw.choice(
            [
                (f"What is the capital of {country}?", stated),
                (f"Which language do they speak in {country}?", f"People in {country} speak {language}."),
                (f"Where is {country}?", f"{country} lies in {continent}."),
            ]
        )
        turns += [("user", question), ("assistant", answer)]
    return chat(turns)


IOI_TEMPLATES = (
    "When {x} and {y} went to the {place}, {giver} gave a {item} to",
    "{x} and {y} went to the {place}. {giver} gave a {item} to",
    "After {x} and {y} came to the {place}, {giver} handed the {item} to",
)


def ioi(draw: random.Random, template: str) -> tuple[str, str, str]:
    """(prompt, the name that follows, the name that was repeated): indirect object identification."""
    receiver, giver = draw.sample(w.FIRST_F + w.FIRST_M, 2)
    x, y = draw.choice([(receiver, giver), (giver, receiver)])
    place = draw.choice(["store", "park", "school", "market", "station"])
    item = draw.choice(["drink", "book", "ring", "letter", "cake"])
    return template.format(x=x, y=y, place=place, giver=giver, item=item), receiver, giver


def _ioi(draw: random.Random) -> str:
    drawn = (ioi(draw, draw.choice(IOI_TEMPLATES)) for _ in range(draw.randint(1, 3)))
    return " ".join(f"{prompt} {name}." for prompt, name, _ in drawn)


def _plural(word: str) -> str:
    return word + ("es" if word.endswith("x") else "s")


def _agreement(draw: random.Random) -> str:
    lines = []
    for _ in range(draw.randint(2, 4)):
        noun, other = draw.sample(["key", "box", "lamp", "cup", "boat", "picture", "letter", "tower"], 2)
        many, many_others = draw.random() < 0.5, draw.random() < 0.5
        adjective = draw.choice(["old", "new", "red", "heavy", "broken", "here", "clean"])
        subject, attractor = _plural(noun) if many else noun, _plural(other) if many_others else other
        where = draw.choice(["near", "behind", "by"])
        lines.append(f"The {subject} {where} the {attractor} {'are' if many else 'is'} {adjective}.")
        name = draw.choice(w.FIRST_F + w.FIRST_M)
        she, her = ("she", "her") if name in w.FIRST_F else ("he", "his")
        lines.append(f"{name} said that {she} lost {her} {other}.")
    return " ".join(lines)


def _repeats(draw: random.Random, words: Sequence[str]) -> str:
    kind = draw.random()
    if kind < 0.5:
        return " ".join(draw.sample(words, draw.randint(5, 16)) * draw.randint(2, 3))
    if kind < 0.75:
        syllables = ["ba", "ko", "ri", "zu", "lem", "tan", "vo", "pi", "sha", "dur", "nek", "fol"]
        made_up = ["".join(draw.choices(syllables, k=draw.randint(2, 3))) for _ in range(draw.randint(4, 9))]
        return " ".join(made_up * 3)
    names = draw.sample(w.FIRST_F + w.FIRST_M, draw.randint(3, 6))
    pairs = [f"{name}: {draw.choice(words)}" for name in names]
    again = draw.sample(pairs, len(pairs))
    return "\n".join([*pairs, "--", *again])


def _numbers(draw: random.Random) -> str:
    kind = draw.random()
    if kind < 0.4:
        sums = ((draw.randrange(10), draw.randrange(10)) for _ in range(draw.randint(4, 8)))
        return "\n".join(f"{a} + {b} = {a + b}" for a, b in sums)
    if kind < 0.7:
        start, step = draw.randrange(100), draw.choice([1, 1, 1, 2, 5, 10])
        return ", ".join(str(start + step * i) for i in range(draw.randint(5, 10)))
    series = draw.choice(w.SERIES)
    start = draw.randrange(len(series))
    return ", ".join((series * 2)[start : start + draw.randint(4, 8)])


def _reviews(draw: random.Random) -> str:
    lines = []
    for _ in range(draw.randint(1, 2)):
        mood = draw.choice(["positive", "negative"])
        thing, text = review(draw, mood, draw.randint(1, 4))
        lines.append(f"Review of the {thing}: {text}\nSentiment: {mood}" if draw.random() < 0.7 else text)
    return "\n".join(lines)


def _languages(draw: random.Random) -> str:
    kind, language, parts = draw.random(), draw.randrange(4), sentence_parts(draw)
    if kind < 0.4:
        return " ".join(sentence(draw, language) for _ in range(draw.randint(3, 7)))
    if kind < 0.7:
        pair = draw.sample(range(4), 2)
        return "\n".join(f"{w.LANGUAGES[one]}: {sentence(draw, one, parts)}" for one in pair)
    asked = f"Say in {w.LANGUAGES[language]}: {sentence(draw, 0, parts)}"
    return chat([("user", asked), ("assistant", sentence(draw, language, parts))])


def _style_chat(draw: random.Random) -> str:
    mood, register = draw.choice(["happy", "gloomy"]), draw.choice(["formal", "casual"])
    hints = [draw.choice(w.SYSTEM_MOOD[mood])] if draw.random() < 0.35 else []
    hints += [draw.choice(w.SYSTEM_REGISTER[register])] if draw.random() < 0.35 else []
    draw.shuffle(hints)
    turns: list[Turn] = []
    for _ in range(draw.randint(1, 2)):
        topic = draw.choice(list(w.TOPICS))
        noun = draw.choice(w.TOPICS[topic][0])
        asked = draw.choice(w.ASKING).format(n=noun)
        turns += [("user", asked), ("assistant", styled_reply(draw, topic, noun, mood, register))]
    return chat(turns, " ".join(hints) or None)


def _ab_chat(draw: random.Random) -> str:
    turns: list[Turn] = []
    for _ in range(draw.randint(2, 4)):
        text, letter = ab_question(draw, *ab_item(draw, draw.choice(list(AB_KINDS))))
        turns += [("user", text), ("assistant", letter)]
    return chat(turns)


def _find_the_word(draw: random.Random, words: Sequence[str]) -> str:
    turns: list[Turn] = []
    for _ in range(draw.randint(3, 5)):
        right, wrong = draw.sample(words, 2)
        text, letter = ab_question(draw, f"Which line is {right}?", right, wrong)
        turns += [("user", text), ("assistant", letter)]
    return chat(turns)


def _behaviour(draw: random.Random) -> str:
    """The trait is fixed within a conversation; a hint names it before each question or in the system prompt, or else the
    first answer shows it: no letter is asked for that nothing decides."""
    trait, shown = draw.choice(list(conduct.BEHAVIOUR)), draw.random() < 0.5
    options, questions = conduct.BEHAVIOUR[trait]
    hint, where = draw.choice(conduct.HINTS[trait, shown]), draw.random()
    turns: list[Turn] = []
    for place in range(draw.randint(1, 3)):
        matching, other = draw.choice(options)
        chosen, left = (matching, other) if shown else (other, matching)
        asked = draw.choice(questions)
        asked = f"{hint} {asked}" if where < 0.5 else asked
        lettered = draw.random() < 0.8 and (place > 0 or where < 0.8)
        turn = ab_question(draw, asked, chosen, left) if lettered else (asked, chosen)
        turns += [("user", turn[0]), ("assistant", turn[1])]
    return chat(turns, hint if 0.5 <= where < 0.8 else None)


def _how_to(draw: random.Random) -> str:
    system, user, answer = how_to(draw, draw.choice(["comply", "refuse", "theatre"]))
    return chat([("user", user), ("assistant", answer)], system)


MIX: dict[Callable[[random.Random], str], int] = {
    _facts: 28,
    _fact_chat: 8,
    _ioi: 4,
    _agreement: 3,
    _numbers: 4,
    _reviews: 7,
    _languages: 8,
    _style_chat: 12,
    _ab_chat: 22,
    _behaviour: 30,
    _how_to: 9,
}
WORD_MIX: dict[Callable[[random.Random, Sequence[str]], str], int] = {_repeats: 7, _find_the_word: 8}


def synthetic(size: float, words: Sequence[str], seed: int) -> Iterator[str]:
    """Documents of about `size` bytes in all; `words` feed the repeats and the find-the-word questions."""
    draw, written = random.Random(seed), 0
    kinds: dict[Callable[[random.Random], str], int] = dict(MIX)
    for make, weight in WORD_MIX.items():
        kinds[_with(make, words)] = weight
    while written < size:
        text = draw.choices(list(kinds), list(kinds.values()))[0](draw)
        written += len(text.encode())
        yield text


def _with(make: Callable[[random.Random, Sequence[str]], str], words: Sequence[str]) -> Callable[[random.Random], str]:
    return lambda draw: make(draw, words)
