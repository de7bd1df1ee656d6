"""A corpus into a directory: the values of one capture, in shards, on two groups, resumed where it was interrupted."""

import json
import re

import numpy as np
import pytest

import interp_magics as im
from interp_magics import streaming
from interp_magics.corpora import read_texts
from interp_magics.errors import RequestError

TEXTS = [f"The quick brown fox number {i} jumps over the lazy dog." for i in range(30)]


@pytest.fixture(scope="module")
def pool(model):
    with im.connect(model=str(model), threads=1, groups=2) as pool:
        pool.card()
        yield pool


def _capture(pool, path, texts=TEXTS, **options):
    return pool.capture_corpus(texts, path, sites="resid_post,mlp_out", layers=[0, 2], shard_tokens=120, **options)


def test_a_store_holds_what_one_capture_holds(pool, tmp_path):
    before = {job.job for job in pool.jobs()}
    store = _capture(pool, tmp_path / "acts", dtype="float32")
    assert not any(job.method == "capture" and job.job not in before for job in pool.jobs())
    whole = pool.capture(TEXTS, sites="resid_post,mlp_out", layers=[0, 2])
    assert len(store) > 3 and store.texts == len(TEXTS) and store.index.complete
    assert store.tokens == sum(len(row.token_ids) for row in whole.rows)
    for number in range(len(TEXTS)):
        shard, row = store.text(number)
        assert np.array_equal(shard.rows[row].token_ids, whole.rows[number].token_ids)
        for site in ("resid_post", "mlp_out"):
            assert np.abs(shard.array(site, row=row) - whole.array(site, row=number)).max() < 1e-4
    again = im.load(tmp_path / "acts")
    assert again == store and "not complete" not in repr(again)
    assert sum(len(shard.rows) for shard in again) == len(TEXTS)
    assert str(_capture(pool, tmp_path / "short")[0].array("mlp_out").dtype) == "bfloat16"


def test_it_says_how_far_it_is_and_what_is_left(pool, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(streaming, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(pool, "show_progress", lambda progress: shown.append(progress))
    _capture(pool, tmp_path / "list")
    assert [p.done for p in shown] == sorted(p.done for p in shown) and shown[-1].done == len(TEXTS)
    assert {p.total for p in shown} == {len(TEXTS)} and shown[-1].left == 0
    assert any(re.fullmatch(r"running, \d+ of 30 texts, about \d+ s left", str(p)) for p in shown)
    shown.clear()
    _capture(pool, tmp_path / "stream", iter(TEXTS))
    assert str(shown[-1]) == "running, 30 texts"
    (tmp_path / "lines.txt").write_text("\n".join(TEXTS) + "\n\n")
    _capture(pool, tmp_path / "file", tmp_path / "lines.txt")
    assert str(shown[-1]) == "running, 30 of 30 texts"


def test_an_interrupted_capture_goes_on_where_it_was(pool, tmp_path, monkeypatch):
    def broken():
        yield from TEXTS[:20]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _capture(pool, tmp_path, broken())
    half = im.load(tmp_path)
    assert len(half) > 0 and not half.index.complete
    asked = []
    submit = type(pool)._submit
    monkeypatch.setattr(type(pool), "_submit", lambda *a, **k: asked.append(a[1]) or submit(*a, **k))
    store = _capture(pool, tmp_path)
    assert store.texts == len(TEXTS) and len(asked) == len(store) - len(half)
    asked.clear()
    (tmp_path / store.index.shards[1].file).unlink()
    assert _capture(pool, tmp_path) == store and len(asked) == 1
    asked.clear()
    changed = [TEXTS[0] + " Not the same.", *TEXTS[1:]]
    assert _capture(pool, tmp_path, changed).texts == len(TEXTS) and len(asked) >= 1


def test_shards_that_move_are_found_again_and_strangers_go(pool, tmp_path):
    def texts(store):
        return ["".join(shard.tokens(row)) for shard, row in map(store.text, range(store.texts))]

    one = {"shard_tokens": 1, "sites": "resid_post"}
    first = pool.capture_corpus(TEXTS[:4], tmp_path, **one)
    order = [TEXTS[9], *TEXTS[:3], TEXTS[0]]
    moved = pool.capture_corpus(order, tmp_path, **one)
    read = pool.tokenize(order)
    assert texts(moved) == ["".join(text.tokens) for text in read]
    assert len(first) == 4 and len(list(tmp_path.glob("*.safetensors"))) == 4
    with pytest.raises(RequestError, match="text 1 of the list"):
        pool.capture_corpus([TEXTS[9], 3.5], tmp_path, **one)
    half = im.load(tmp_path)
    assert len(half) == 1 and len(half.index.earlier) == 3
    again = pool.capture_corpus(order, tmp_path, **one)
    assert again == moved
    with pytest.raises(RequestError, match="another dtype"):
        pool.capture_corpus(TEXTS[:4], tmp_path, **one, dtype="float32")


def test_files_of_texts(pool, tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    (tmp_path / "b.jsonl").write_text('{"text": "one"}\n{"text": "two", "id": 3}\n')
    assert list(read_texts(tmp_path / "a.txt")) == list(read_texts(tmp_path / "b.jsonl")) == ["one", "two"]
    assert pool.capture_corpus(tmp_path / "b.jsonl", tmp_path / "acts").texts == 2
    (tmp_path / "bad.jsonl").write_text('{"text": "one"}\n{"txt": "two"}\n')
    with pytest.raises(RequestError, match=r'line 2 of bad.jsonl is not an object with a field "text"'):
        pool.capture_corpus(tmp_path / "bad.jsonl", tmp_path / "bad")
    for wrong in ("gone.txt", "a.csv"):
        with pytest.raises(RequestError, match=r"there is no file|\.txt or a \.jsonl"):
            pool.capture_corpus(tmp_path / wrong, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_what_is_wrong_is_refused_before_anything_is_written(pool, tmp_path):
    with pytest.raises(RequestError, match="unknown site"):
        pool.capture_corpus(TEXTS, tmp_path / "no", sites="resid_pots")
    assert not (tmp_path / "no").exists()
    _capture(pool, tmp_path / "acts")
    with pytest.raises(RequestError, match="holds activations of"):
        pool.capture_corpus(TEXTS, tmp_path / "acts", sites="resid_post")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(RequestError, match="holds no activations"):
        _capture(pool, tmp_path / "other")
    (tmp_path / "acts" / "index.json").write_text(json.dumps({"model": 3}))
    with pytest.raises(RequestError, match="is not the index"):
        im.load(tmp_path / "acts")


def test_a_text_that_is_wrong_leaves_what_is_finished_and_no_job(pool, tmp_path):
    with pytest.raises(RequestError, match="text 25 of the list"):
        _capture(pool, tmp_path, [*TEXTS[:25], 3.5])
    assert len(im.load(tmp_path)) > 0
    assert not any(job.state in ("queued", "running") for job in pool.jobs())
