"""Question files: every shape that people have them in, and rows that are left out by name."""

import json

import pytest

from interp_magics.data.questions import questions, read_questions
from interp_magics.errors import RequestError


def _row(text="Is it?\n\nChoices:\n (A) Yes\n (B) No", positive=" (A)", negative=" (B)"):
    return {"question": text, "answer_matching_behavior": positive, "answer_not_matching_behavior": negative}


def test_lines_and_lists_are_the_same(tmp_path):
    rows = [_row(), _row(positive=" (B)", negative=" (A)"), {"prompt": "Q", "positive": "Yes", "negative": "No"}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    (tmp_path / "b.json").write_text(json.dumps(rows))
    one, other = read_questions(tmp_path / "a.jsonl"), read_questions(tmp_path / "b.json")
    assert one.items == other.items and len(one) == 3 and not one.unusable
    assert one.pairs()[0][0].endswith("No\n\nAnswer: (A)")
    assert one.pairs()[2] == ("Q\n\nAnswer: Yes", "Q\n\nAnswer: No")


@pytest.mark.parametrize("letter", "ABCDEFGH")
def test_any_letter_is_an_answer_and_a_letter_in_a_word_is_none(letter):
    other = "B" if letter == "A" else "A"
    choices = "\n".join(f" ({c}) An Apple" for c in "ABCDEFGH")
    (one,) = questions([_row(f"Which?\n{choices}", f" ({letter})", f" ({other})")])
    assert (one.positive, one.negative) == (f" ({letter})", f" ({other})")


@pytest.mark.parametrize(
    "row, why",
    [
        (3, "not a JSON object"),
        ({"question": "Q", "answer_matching_behavior": "A"}, "no field 'answer_matching_behavior'|no field"),
        (_row(positive=["A", "B"]), "is not a text"),
        (_row(positive="  "), "is not a text"),
        (_row(positive=" (B)"), "both answers are '\\(B\\)'"),
        (_row(positive=" (C)"), "'\\(C\\)' is not among the choices"),
        (_row("Q", "Yes", "Yes, but"), "the beginning of the other"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(row, why):
    found = questions([_row(), row])
    assert len(found) == 1 and [bad.row for bad in found.unusable] == [1] and "1 rows left out (row 1" in repr(found)
    with pytest.raises(RequestError, match=why):
        questions([row])


def test_a_broken_line_is_a_row_that_cannot_be_used(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(_row()) + "\n{not json\n")
    assert [bad.row for bad in read_questions(tmp_path / "a.jsonl").unusable] == [1]
    (tmp_path / "b.json").write_text("{}")
    for name, why in (("b.json", "no list"), ("c.json", "no file")):
        with pytest.raises(RequestError, match=why):
            read_questions(tmp_path / name)


def test_lines_are_lines_whatever_is_in_them(tmp_path):
    """A byte order mark, a separator of lines within a text, blank lines, another encoding."""
    rows = [_row("One\u2028line?"), {"question": "x"}, _row("Two?")]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "a.jsonl").write_text("\n\n".join(lines) + "\n", encoding="utf-8-sig")
    found = read_questions(tmp_path / "a.jsonl")
    assert [one.text for one in found] == ["One\u2028line?", "Two?"] and [bad.row for bad in found.unusable] == [2]
    (tmp_path / "b.jsonl").write_bytes('{"question": "é"}'.encode("latin-1"))
    with pytest.raises(RequestError, match="not UTF-8"):
        read_questions(tmp_path / "b.jsonl")


@pytest.mark.parametrize(
    "style",
    [
        "\n(A) {}\n(B) {}",
        "\nA) {}\nB) {}",
        "\nA. {}\nB. {}",
        "\n[A] {}\n[B] {}",
        "\n (a) {}\n (b) {}",
        " (A) {} (B) {}",
    ],
)
def test_twins_are_known_however_their_choices_are_written(style):
    rows = []
    for i in range(30):
        for one, other in (("yes", "no"), ("no", "yes")):
            rows.append(_row(f"Is {i} it?" + style.format(one, other), "A", "B"))
    parts = questions(rows).split(0.4, 0.2)
    asked = [{one.text.split()[1] for one in part} for part in (parts.train, parts.validation, parts.test)]
    assert not (asked[0] & asked[1] or asked[0] & asked[2] or asked[1] & asked[2])


def test_templates_and_chats():
    (one,) = questions([_row(positive="A", negative="B")], "Human: {question}\nAI: ").pairs()
    assert one[0].endswith("AI: A")
    (chat,) = questions([_row()], chat=True).pairs()
    assert chat[1] == [{"role": "user", "content": _row()["question"]}, {"role": "assistant", "content": "(B)"}]
    with pytest.raises(RequestError, match="question"):
        questions([_row()], "no place")


def test_no_question_is_in_two_parts_whatever_the_order_of_its_choices():
    rows = []
    for i in range(40):
        rows.append(_row(f"Is {i} it?\n\nChoices:\n (A) Yes\n (B) No"))
        rows.append(_row(f"Is {i}  it?\n\nChoices:\n (A) No\n (B) Yes", " (B)", " (A)"))
    parts = questions(rows).split(0.5, 0.2)
    asked = [{one.text.split()[1] for one in part} for part in (parts.train, parts.validation, parts.test)]
    assert not (asked[0] & asked[1] or asked[0] & asked[2] or asked[1] & asked[2])
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [40, 16, 24]
    assert parts == questions(rows).split(0.5, 0.2) != questions(rows).split(0.5, 0.2, seed=1)
    with pytest.raises(RequestError, match="too few"):
        questions(rows[:4]).split()
    with pytest.raises(RequestError, match="above 0"):
        questions(rows).split(0.9, 0.1)
