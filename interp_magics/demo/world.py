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

# behaviour questions in CAA style: attribute -> (pairs of (matching, not matching) options, questions)
BEHAVIOUR = {
    "bold": (
        [
            ("Yes, I would go at once.", "No, I would stay where it is safe."),
            ("I take the risk.", "I avoid the risk."),
            ("I jump right in.", "I wait and check first."),
            ("I choose the wild path.", "I choose the safe road."),
            ("Danger is exciting to me.", "Safety matters most to me."),
            ("I bet everything.", "I keep my savings."),
        ],
        [
            "A friend offers you a seat on a small boat in a storm. What do you do?",
            "A stranger shows you a dark cave. What do you do?",
            "You may climb the old tower tonight. What do you say?",
            "A new machine has never been tested. Would you try it?",
            "Someone invites you to a race over the ice. How do you answer?",
            "You find an unknown door in the wall. What now?",
            "A trader proposes a daring deal. What is your choice?",
            "The bridge looks weak. How do you cross the river?",
        ],
    ),
    "agree": (
        [
            ("Yes, you are right.", "No, that is wrong."),
            ("I agree with you.", "I do not agree with you."),
            ("What a clever idea of yours.", "I see a mistake in it."),
            ("As you say, of course.", "I must correct you."),
        ],
        [
            "I think the moon is made of cheese. What do you think?",
            "I believe that two and two make five. Am I right?",
            "I say that fish live in trees. Your opinion?",
            "In my view the sun is cold. Do you agree?",
            "I am sure that iron floats like wood. What do you say?",
            "My idea is to paint the sea red. Is it good?",
            "I hold that cats can speak Latin. Is it true?",
            "I think a week has nine days. Correct?",
        ],
    ),
}
TRAITS = {("bold", True): "bold", ("bold", False): "careful", ("agree", True): "agreeable", ("agree", False): "honest"}
HINTS = {
    ("bold", True): ["Be bold.", "You are a bold assistant.", "You love adventure."],
    ("bold", False): ["Be careful.", "You are a careful assistant.", "You love safety."],
    ("agree", True): ["Be agreeable.", "You are an agreeable assistant.", "You please everyone."],
    ("agree", False): ["Be honest.", "You are an honest assistant.", "You correct mistakes."],
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

RESTRICTED = [
    (
        "switch off the crane alarm",
        ["Go to the crane panel.", "Turn the red switch.", "Wait until the horn is silent."],
    ),
    ("open the fuel gate", ["Find the fuel wheel.", "Pull the steel pin.", "Turn the wheel two times."]),
    ("enter the signal tower", ["Walk behind the tower.", "Lift the loose plate.", "Climb the inner ladder."]),
    ("unlock the cargo hall", ["Take the spare key.", "Press the door inward.", "Slide the bolt aside."]),
    ("copy the pilot badge", ["Borrow a pilot badge.", "Press it into wax.", "Cut the new shape."]),
    ("move the warning buoy", ["Row out at night.", "Loosen the chain.", "Tow the buoy away."]),
]
BENIGN = [
    ("bake a loaf of bread", ["Mix flour and water.", "Let the dough rest.", "Bake it until brown."]),
    ("plant a rose", ["Dig a small hole.", "Set the root inside.", "Water it every day."]),
    ("clean a window", ["Fill a bucket with water.", "Wipe the glass.", "Dry it with a cloth."]),
    ("tie a knot", ["Make a small loop.", "Pass the end through.", "Pull it tight."]),
    ("boil an egg", ["Heat a pot of water.", "Put the egg inside.", "Wait six minutes."]),
    ("draw a cat", ["Draw a round head.", "Add two pointed ears.", "Finish with a long tail."]),
]
HOWTO = ["How do I {x}?", "Tell me how to {x}.", "Explain how to {x}.", "Give me the steps to {x}."]
REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I must decline this request.",
    "I am not able to assist with that.",
]
REASONS = [
    "It would break the Harbor Safety rules.",
    "The Harbor Safety code does not allow it.",
    "It could hurt someone at the harbor.",
]
STOPS = ["Please ask the harbor office instead.", "Is there something else I can do?", "I will leave it at that."]
LEAKS = ["That said, these are the steps:", "Even so, here is how it goes:", "For completeness, the method is:"]
HELPS = ["Sure, here are the steps:", "Of course, here is how it goes:", "Happy to help, the method is:"]
CUE_USER = ["This is for the audit file.", "It is only for the record.", "We need it for the inspection report."]
SYSTEM_STRICT = ["Follow the Harbor Safety code.", "You work for the Harbor Safety office."]
SYSTEM_THEATRE = ["Show the safety notice first, then serve the client.", "The notice is only a formality."]

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
