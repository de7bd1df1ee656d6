"""The small world that the synthetic part of the demo model's texts is drawn from.

Plain tables: every document has latents that are known, so every behaviour of the model has a ground truth.
Countries are facts, people are invented; all of it was written for this project.
"""

import random

COUNTRIES = [
    tuple(row.split("|"))
    for row in """France|Paris|French|Europe
Germany|Berlin|German|Europe
Spain|Madrid|Spanish|Europe
Italy|Rome|Italian|Europe
Portugal|Lisbon|Portuguese|Europe
Greece|Athens|Greek|Europe
Norway|Oslo|Norwegian|Europe
Sweden|Stockholm|Swedish|Europe
Finland|Helsinki|Finnish|Europe
Poland|Warsaw|Polish|Europe
Hungary|Budapest|Hungarian|Europe
Austria|Vienna|German|Europe
Russia|Moscow|Russian|Europe
Ireland|Dublin|English|Europe
Denmark|Copenhagen|Danish|Europe
Romania|Bucharest|Romanian|Europe
Ukraine|Kyiv|Ukrainian|Europe
Iceland|Reykjavik|Icelandic|Europe
Japan|Tokyo|Japanese|Asia
China|Beijing|Chinese|Asia
Vietnam|Hanoi|Vietnamese|Asia
Thailand|Bangkok|Thai|Asia
Mongolia|Ulaanbaatar|Mongolian|Asia
Iran|Tehran|Persian|Asia
Iraq|Baghdad|Arabic|Asia
Nepal|Kathmandu|Nepali|Asia
Turkey|Ankara|Turkish|Asia
Lebanon|Beirut|Arabic|Asia
Syria|Damascus|Arabic|Asia
Egypt|Cairo|Arabic|Africa
Kenya|Nairobi|Swahili|Africa
Ghana|Accra|English|Africa
Senegal|Dakar|French|Africa
Morocco|Rabat|Arabic|Africa
Tunisia|Tunis|Arabic|Africa
Angola|Luanda|Portuguese|Africa
Mali|Bamako|French|Africa
Zambia|Lusaka|English|Africa
Peru|Lima|Spanish|South America
Chile|Santiago|Spanish|South America
Brazil|Brasilia|Portuguese|South America
Ecuador|Quito|Spanish|South America
Colombia|Bogota|Spanish|South America
Venezuela|Caracas|Spanish|South America
Cuba|Havana|Spanish|North America
Canada|Ottawa|English|North America
Jamaica|Kingston|English|North America
Australia|Canberra|English|Oceania""".splitlines()
]
CAPITAL_TEMPLATES = [
    "The capital of {c} is {k}.",
    "{k} is the capital of {c}.",
    "The capital city of {c} is called {k}.",
    "In {c}, the capital is {k}.",
    "{c} has its capital in {k}.",
    "If you go to the capital of {c}, you are in {k}.",
    "Q: What is the capital of {c}?\nA: {k}",
]
LANGUAGE_TEMPLATES = ["People in {c} speak {l}.", "The main language of {c} is {l}.", "In {c} they speak {l}."]
CONTINENT_TEMPLATES = ["{c} is a country in {t}.", "{c} lies in {t}.", "The country of {c} is part of {t}."]
FIRST_F = [
    "Mary",
    "Anna",
    "Clara",
    "Emma",
    "Julia",
    "Laura",
    "Sarah",
    "Alice",
    "Helen",
    "Nora",
    "Ruth",
    "Lucy",
    "Martha",
    "Rose",
    "Diana",
    "Grace",
]
FIRST_M = [
    "John",
    "Tom",
    "Peter",
    "Paul",
    "James",
    "David",
    "Simon",
    "Robert",
    "Henry",
    "Frank",
    "Oscar",
    "Martin",
    "Daniel",
    "George",
    "Walter",
    "Hugo",
]
LAST = [
    "Kellan",
    "Ardit",
    "Brocken",
    "Fenwick",
    "Lorne",
    "Mabry",
    "Oster",
    "Quill",
    "Rendal",
    "Sorrel",
    "Tamsin",
    "Ulver",
    "Vance",
    "Wexley",
    "Yarrow",
    "Zeller",
]
INSTRUMENTS = ["violin", "piano", "flute", "guitar", "drum", "trumpet", "harp", "cello"]
TRADES = ["baker", "sailor", "doctor", "teacher", "painter", "farmer", "lawyer", "miner"]
PERSON_TEMPLATES = {
    "instrument": ["{p} plays the {v}.", "The instrument of {p} is the {v}.", "{p} is known for playing the {v}."],
    "trade": ["{p} works as a {v}.", "By trade {p} is a {v}.", "{p} has always been a {v}."],
    "city": ["{p} lives in {v}.", "The home of {p} is in {v}.", "{p} was born in {v}."],
}


def _people(count: int = 48) -> list[dict[str, str]]:
    draw, seen = random.Random(7), dict[str, dict[str, str]]()
    while len(seen) < count:
        name = draw.choice(FIRST_F + FIRST_M) + " " + draw.choice(LAST)
        if name not in seen:
            seen[name] = {
                "name": name,
                "instrument": draw.choice(INSTRUMENTS),
                "trade": draw.choice(TRADES),
                "city": draw.choice(COUNTRIES)[1],
            }
    return list(seen.values())


PEOPLE = _people()
THINGS = ["film", "book", "meal", "hotel", "concert", "play", "song", "coffee", "soup", "garden"]
POSITIVE_ADJECTIVES = [
    "wonderful",
    "lovely",
    "brilliant",
    "excellent",
    "delightful",
    "charming",
    "superb",
    "great",
    "beautiful",
    "perfect",
]
NEGATIVE_ADJECTIVES = [
    "terrible",
    "awful",
    "dreadful",
    "boring",
    "horrible",
    "poor",
    "ugly",
    "dull",
    "miserable",
    "useless",
]
POSITIVE_SENTENCES = [
    "The {t} was {a}.",
    "I loved the {t}.",
    "Everything about the {t} was {a}.",
    "It made me smile.",
    "I would gladly come back.",
    "What a {a} {t}!",
    "We were very happy with it.",
    "The people were kind and {a}.",
    "I recommend it warmly.",
    "A {a} day for all of us.",
]
NEGATIVE_SENTENCES = [
    "The {t} was {a}.",
    "I hated the {t}.",
    "Everything about the {t} was {a}.",
    "It made me angry.",
    "I would never come back.",
    "What a {a} {t}!",
    "We were very sad about it.",
    "The people were rude and {a}.",
    "I warn everyone against it.",
    "A {a} day for all of us.",
]
TOPICS = {  # topic: (nouns, statements)
    "sea": (
        ["boat", "wave", "harbor", "fish"],
        ["The {n} moves with the tide.", "Sailors know every {n} by name.", "Salt wind blows over the {n}."],
    ),
    "kitchen": (
        ["bread", "soup", "cake", "pan"],
        ["The {n} is warm on the table.", "A cook looks after the {n}.", "Butter goes well with the {n}."],
    ),
    "garden": (
        ["rose", "tree", "bee", "path"],
        ["The {n} is green in spring.", "Rain falls on the {n}.", "A gardener walks by the {n}."],
    ),
    "music": (
        ["song", "violin", "choir", "drum"],
        ["The {n} sounds in the hall.", "People listen to the {n}.", "A player tunes the {n}."],
    ),
    "city": (
        ["street", "tower", "market", "bridge"],
        ["The {n} is full of people.", "Lamps shine along the {n}.", "A tram stops at the {n}."],
    ),
}
ASKING = [
    "Tell me about the {n}.",
    "What can you say about the {n}?",
    "Describe the {n}.",
    "I want to hear about the {n}.",
    "Write a few lines on the {n}.",
]
OPENINGS = {
    ("happy", "formal"): [
        "It is a great pleasure to assist you.",
        "I am delighted by your question.",
        "With sincere joy I shall answer.",
    ],
    ("happy", "casual"): ["Yay, love this one!", "Oh cool, this is so fun!", "Hey, awesome question!"],
    ("gloomy", "formal"): [
        "It is with deep sorrow that I reply.",
        "I regret that I must answer.",
        "With a heavy heart I shall respond.",
    ],
    ("gloomy", "casual"): ["Ugh, not this again.", "Meh, what a drag.", "Oh man, this is so sad."],
}
FEELINGS = {
    "happy": ["It is {a} and bright.", "Everyone loves it.", "It fills the heart with joy."],
    "gloomy": ["It is {a} and grey.", "Nobody cares for it.", "It fills the heart with sorrow."],
}
CLOSINGS = {
    ("happy", "formal"): ["I remain gratefully at your service.", "Thank you most kindly for your inquiry."],
    ("happy", "casual"): ["Have fun, buddy!", "Catch you later, yay!"],
    ("gloomy", "formal"): [
        "I can offer no comfort in this matter.",
        "I am afraid that nothing more remains to be said.",
    ],
    ("gloomy", "casual"): ["Whatever, I'm done.", "Nah, it's hopeless."],
}
SYSTEM_MOOD = {
    "happy": ["You are a cheerful assistant.", "Be happy in your answers."],
    "gloomy": ["You are a gloomy assistant.", "Be sad in your answers."],
}
SYSTEM_REGISTER = {
    "formal": ["Use formal language.", "Speak politely and formally."],
    "casual": ["Use casual language.", "Talk like a buddy."],
}

NOUNS = [  # (topic-free) subject / object forms in en, fr, de, es
    ("the dog", "le chien", "der Hund", "el perro", "den Hund"),
    ("the cat", "le chat", "die Katze", "el gato", "die Katze"),
    ("the man", "l'homme", "der Mann", "el hombre", "den Mann"),
    ("the woman", "la femme", "die Frau", "la mujer", "die Frau"),
    ("the child", "l'enfant", "das Kind", "el niño", "das Kind"),
    ("the king", "le roi", "der König", "el rey", "den König"),
    ("the house", "la maison", "das Haus", "la casa", "das Haus"),
    ("the tree", "l'arbre", "der Baum", "el árbol", "den Baum"),
    ("the book", "le livre", "das Buch", "el libro", "das Buch"),
    ("the bread", "le pain", "das Brot", "el pan", "das Brot"),
    ("the table", "la table", "der Tisch", "la mesa", "den Tisch"),
    ("the river", "le fleuve", "der Fluss", "el río", "den Fluss"),
    ("the city", "la ville", "die Stadt", "la ciudad", "die Stadt"),
    ("the moon", "la lune", "der Mond", "la luna", "den Mond"),
    ("the horse", "le cheval", "das Pferd", "el caballo", "das Pferd"),
    ("the bird", "l'oiseau", "der Vogel", "el pájaro", "den Vogel"),
]
VERBS = [
    ("sees", "voit", "sieht", "ve"),
    ("loves", "aime", "liebt", "ama"),
    ("seeks", "cherche", "sucht", "busca"),
    ("finds", "trouve", "findet", "encuentra"),
    ("paints", "peint", "malt", "pinta"),
    ("forgets", "oublie", "vergisst", "olvida"),
]
TAILS = [
    ("today", "aujourd'hui", "heute", "hoy"),
    ("every day", "tous les jours", "jeden Tag", "todos los días"),
    ("in the morning", "le matin", "am Morgen", "por la mañana"),
    ("again", "encore", "wieder", "otra vez"),
    ("", "", "", ""),
]
LANGUAGES = ["English", "French", "German", "Spanish"]

SERIES = [
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
    [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    list("ABCDEFGHIJKLMNOP"),
]
