"""Corpora that lie with a pool, and what is taken out of texts before anything is made of them."""

import json
import signal
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import interp_magics as im
from interp_magics import corpora
from interp_magics.broker import corpora as laid
from interp_magics.broker.corpora import Corpora
from interp_magics.cards import CardView
from interp_magics.corpora import Piece, PoolCorpus, listed, read_texts
from interp_magics.scrubbing import contacts
from tests import checkpoints
from tests.pool.conftest import wait_for
from tests.pool.served import Served, free_ports

TELLING = "Write to ada.lovelace@example.org or call +44 20 7946 0958 about the 1,024 quick foxes of 2026-11-22."
CLEAN = "Write to [email] or call [phone] about the 1,024 quick foxes of 2026-11-22."


@pytest.fixture(scope="module")
def lines(tmp_path_factory) -> Path:
    """A directory of two files of texts, and what is none beside them."""
    root = tmp_path_factory.mktemp("corpora") / "letters"
    root.mkdir()
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "of", "Paris"]
    draw = np.random.default_rng(4)
    texts = [" ".join(draw.choice(words, 12)) for _ in range(90)]
    (root / "a.txt").write_text("\n".join(texts[:40]) + "\n\n" + TELLING, encoding="utf-8")
    (root / "b.jsonl").write_text("".join(json.dumps({"text": f"{text} ü 漢"}) + "\n" for text in texts[40:]))
    (root / "notes.md").write_text("not for anyone")
    return root


@pytest.fixture(scope="module")
def served(tmp_path_factory, lines):
    root = tmp_path_factory.mktemp("pool")
    model = checkpoints.make("qwen3", root)
    config = root / "pool.toml"
    config.write_text(
        f'scrubbers = ["contacts"]\n[corpora]\nletters = "{lines}"\none = "{lines}/a.txt"\n'
        f'[[models]]\nname = "tiny"\npath = "{model}"\n'
    )
    made = Served(root / "pool", ["--config", str(config), "--port", "0"])
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def pool(served):
    with im.connect(str(served.connection)) as made:
        made.card()
        yield made


def test_a_corpus_of_the_pool_is_read_as_its_files_are_as_often_as_one_likes(served, pool, lines):
    assert pool.corpora() == {
        "letters": sum((lines / name).stat().st_size for name in ("a.txt", "b.jsonl")),
        "one": (lines / "a.txt").stat().st_size,
    }
    wanted = [*read_texts(lines / "a.txt"), *read_texts(lines / "b.jsonl")]
    letters = pool.corpus("letters")
    assert list(letters) == wanted and list(letters) == wanted and len(wanted) == 91
    with pytest.raises(im.RequestError, match="no corpus 'leters'; did you mean 'letters'"):
        pool.corpus("leters")
    for name, file, said in (("../letters", 0, "no corpus"), ("letters", 2, "no file 2")):
        with pytest.raises(im.RequestError, match=said):
            pool._connection.read(name, file, 0)
    audit = (served.directory / "audit.jsonl").read_text()
    assert '"corpus":"letters","file":1' in audit.replace(" ", "")


def test_it_stands_wherever_texts_do(pool, tmp_path):
    letters = pool.corpus("letters")
    recipe = im.Recipe(32, "topk", k=4, layer=1, tokens=3_000, batch=300, dtype="float32")
    one, other = (pool.train_saes(texts, [recipe])[0] for texts in (letters, list(letters)))
    assert np.array_equal(one.W_dec, other.W_dec), "it is read again for a second epoch, as a list is"
    store = pool.capture_corpus(letters, tmp_path / "store", layers=[1])
    assert store.texts == 91 and store.index.complete
    assert np.array_equal(pool.features(one, letters).density, pool.features(one, list(letters)).density)


def test_what_is_kept_of_texts_is_clean_and_what_is_answered_is_as_it_was(pool, served):
    assert pool.card().scrubbers == (f"contacts {im.__version__}",)
    assert "are cleaned by contacts" in str(CardView(pool.card()))

    def read(ids):
        return "".join(pool.tokenize([int(i) for i in ids]).tokens).replace("·", " ")

    chat = [{"role": "user", "content": TELLING}]
    ids = [int(i) for i in pool.tokenize(TELLING).ids]
    special = next(i for i in pool.capture(chat, layers=[1]).rows[0].token_ids.tolist() if i not in ids)
    kept = pool.capture([special, *ids, special], layers=[1]).rows[0].token_ids.tolist()
    assert kept[0] == kept[-1] == special and CLEAN in read(kept)
    for text in (TELLING, chat, ids):
        captured = pool.capture(text, layers=[1])
        assert CLEAN in read(captured.rows[0].token_ids) and "ada" not in read(captured.rows[0].token_ids)
    untouched = pool.capture(ids[:5], layers=[1])
    assert untouched.rows[0].token_ids.tolist() == ids[:5]
    assert "ada.lovelace@example.org" in read(pool.lens(TELLING).token_ids)


def test_a_scrubber_that_is_not_there_keeps_the_model_from_being_served(tmp_path):
    config = tmp_path / "pool.toml"
    model = checkpoints.make("qwen3", tmp_path)
    config.write_text(f'scrubbers = ["contact"]\n[[models]]\nname = "tiny"\npath = "{model}"\n')
    served = Served(tmp_path / "pool", ["--config", str(config), "--port", "0"])
    try:
        served.start()
        with im.connect(str(served.connection)) as pool:
            said = "the scrubber 'contact' that the pool asks for is not installed here; did you mean 'contacts'"
            wait_for(lambda: said in str(pool.status()))
    finally:
        served.stop()


def test_a_worker_that_was_started_when_the_pool_asked_for_less_is_given_nothing(tmp_path):
    model = checkpoints.make("qwen3", tmp_path)
    options = ["--model", f"tiny={model}", "--port", str(free_ports()), "--groups", "0"]
    served = Served(tmp_path / "pool", options)
    try:
        served.start()
        served.worker(model)
        with im.connect(str(served.connection)) as pool:
            assert pool.card().scrubbers == ()
        served.kill(signal.SIGTERM)
        config = tmp_path / "pool.toml"
        config.write_text('scrubbers = ["contacts"]\n')
        served.arguments += ["--config", str(config)]
        served.start()
        with im.connect(str(served.connection)) as pool:
            said = "it does not clean texts with contacts, as this pool asks: start it anew"
            wait_for(lambda: said in str(pool.status()))
            with pytest.raises(im.RemoteError, match="does not clean texts"):
                pool.capture("hello", layers=[1])
    finally:
        served.stop()


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (TELLING, CLEAN),
        ("(030) 901820 or 0049 30 901820", "[phone] or [phone]"),
        ("from 10.0.0.1, version 1.2.3", "from [address], version 1.2.3"),
        ("The server is 10.0.0.1.", "The server is [address]."),
        ("müller@exämple.de", "[email]"),
        ("+1-415-555-2671x12 or 030 901820 ext. 4", "[phone] or [phone]"),
        ("born 01.02.1990, 05/06/2024 and 01-02-99", "born 01.02.1990, 05/06/2024 and 01-02-99"),
        ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN [iban]."),
        ("1 + 1 = 2; 3.14159; 100000; 12:30", "1 + 1 = 2; 3.14159; 100000; 12:30"),
    ],
)
def test_what_one_can_be_reached_by_is_named_instead_of_told(text, clean):
    assert contacts(text) == clean


def test_long_texts_are_cleaned_in_no_time_that_grows_with_their_square():
    for text in ("a" * 200_000, "1" * 200_000, "0 " * 200_000, "a." * 200_000, "A1" * 200_000):
        contacts(text)


def corpus_of(roots):
    made = Corpora(roots)
    (name,) = roots
    return PoolCorpus(name, lambda file, offset: Piece(**asdict(made.piece(name, file, offset))))


@pytest.mark.parametrize("size", [1, 7, 40, 1 << 20])
def test_pieces_of_any_size_lose_no_line(size, lines, monkeypatch):
    monkeypatch.setattr(laid, "PIECE_BYTES", size)
    read = corpus_of({"letters": str(lines)})
    assert list(read) == [*read_texts(lines / "a.txt"), *read_texts(lines / "b.jsonl")]


def test_what_is_no_corpus_is_refused_at_the_start(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "long.csv").write_text("x")
    for where in (tmp_path / "nowhere.txt", tmp_path / "empty", tmp_path / "long.csv"):
        with pytest.raises(im.RequestError, match=r"is no \.txt or \.jsonl file"):
            Corpora({"x": str(where)})


def test_a_file_that_is_gone_or_has_become_a_link_is_not_read_and_its_path_is_not_told(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "secret").write_text("secret\n")
    made = Corpora({"x": str(tmp_path)})
    infos = made.infos
    (tmp_path / "a.txt").unlink()
    with pytest.raises(im.RequestError, match=r"a\.txt of the corpus 'x' cannot be read \(No such file") as gone:
        made.piece("x", 0, 0)
    (tmp_path / "a.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(im.RequestError, match=r"a\.txt of the corpus 'x' cannot be read") as linked:
        made.piece("x", 0, 0)
    assert made.infos == infos and all(str(tmp_path) not in str(error.value) for error in (gone, linked))


@pytest.mark.parametrize("content", [b"", b"\n", b"one", b"one\n", b"one\r\n\r\ntwo", b"\none\n\n\ntwo\n"])
def test_lines_end_as_they_do_in_a_file_here(content, tmp_path):
    (tmp_path / "a.txt").write_bytes(content)
    found = list(corpus_of({"x": str(tmp_path)}))
    assert found == list(read_texts(tmp_path / "a.txt")) == [word for word in content.decode().split() if word]


def test_what_is_not_utf_8_is_refused_wherever_it_lies(tmp_path):
    (tmp_path / "a.txt").write_bytes("good\nmüde\n".encode("latin-1"))
    for texts in (corpus_of({"x": str(tmp_path)}), read_texts(tmp_path / "a.txt")):
        with pytest.raises(im.RequestError, match=r"line 2 of a\.txt is not UTF-8 \(byte 1\)"):
            list(texts)


def test_a_corpus_that_one_request_cannot_hold_is_refused_before_all_of_it_is_read(lines, monkeypatch):
    read = []
    made = corpus_of({"letters": str(lines)})
    counting = PoolCorpus("letters", lambda file, offset: read.append(file) or made._read(file, offset))
    monkeypatch.setattr(corpora, "MAX_CLIENT_HEADER", 100)
    with pytest.raises(im.RequestError, match="in one request; take some of it"):
        listed(counting)
    assert read == [0]
