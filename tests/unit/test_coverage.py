"""What a corpus holds is counted, and what it lacks is said."""

import pytest

import interp_magics as im

GERMAN = "Der Hund schläft heute den ganzen Tag im Garten, und die Katze sieht ihm von der alten Mauer aus zu."
ENGLISH = "The dog sleeps in the garden all day long, and the cat is watching it from the old wall beside the road."
FRENCH = "Le chien dort toute la journée dans le jardin, et le chat le regarde depuis le vieux mur près de la route."
CODE = "def area(width, height):\n    return width * height\n\nprint(area(3, 4))\n"


def test_languages_code_turns_and_repeats_are_counted(tmp_path):
    chat = [{"role": "user", "content": ENGLISH}, {"role": "assistant", "content": FRENCH}]
    chatml = f"<|im_start|>system\nshort<|im_end|>\n<|im_start|>tool\n{GERMAN}<|im_end|>"
    found = im.coverage([GERMAN, ENGLISH, ENGLISH, CODE * 3, chat, chatml, "ok", [1, 2, 3]])
    assert found.texts == 8 and found.repeated == 1 and found.code == 1
    assert found.turns == {"user": 1, "assistant": 1, "system": 1, "tool": 1}
    assert found.languages["de"] == 2 and found.languages["short"] == 1 and sum(found.languages.values()) == 7
    assert found.warnings == (f"it has about {found.tokens:,} tokens, which is few to learn from",)
    path = tmp_path / "corpus.txt"
    path.write_text(f"{GERMAN}\n\n{ENGLISH}\n")
    assert im.coverage(path).texts == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("let me know when you arrive", 0),
        ("return policy: thirty days", 0),
        ("class starts at nine tomorrow\nimport taxes rose last year", 0),
        ("from a.b import c\nx = 1\ny = 2", 1),
        ("#include <stdio.h>\nint main() {\n  return 0;\n}", 1),
        ("let total = 3", 1),
    ],
)
def test_prose_is_not_code(text, code):
    assert im.coverage([text]).code == code


def test_a_narrow_corpus_is_told_so():
    found = im.coverage([ENGLISH + str(i) for i in range(30)] + [ENGLISH] * 10)
    assert found.warnings[:3] == (
        "nearly all of it is in one language (en)",
        "there is no code",
        "there are no chats, so turns of users and assistants are missing",
    )
    assert "22% of its texts repeat others" in found.warnings[3] and "warning: there is no code" in repr(found)


def test_what_is_no_corpus_says_so():
    with pytest.raises(im.RequestError, match="the corpus has no text"):
        im.coverage([])
    with pytest.raises(im.RequestError, match="text 1 of the list"):
        im.coverage(["one", 3.5])
