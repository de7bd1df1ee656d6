"""Dictionaries trained on a pool: from texts to weights, through deaths, interruptions and cancellations."""

import json
import threading
from dataclasses import replace
from hashlib import sha256

import msgspec
import numpy as np
import pytest

import interp_magics as im
from interp_magics import lessons, training
from interp_magics.data import files
from interp_magics.data.dictionary_object import tensors_of
from interp_magics.errors import Cancelled, RequestError
from interp_magics.methods.train.request import TrainRequest
from interp_magics.program.language import Ids, Stored
from tests.pool.conftest import named, wait_for

WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "seven",
    "cats",
    "watch",
    "from",
    "nine",
    "old",
    "roofs",
    "and",
    "sing",
]


def corpus_of(count=400, seed=0):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, 20)) for _ in range(count)]


def recipe(**given):
    return im.Recipe(**{"latents": 64, "layer": 1, "k": 4, "tokens": 20_000, "batch": 500, "dtype": "float32", **given})


def same(one, other):
    left, right = tensors_of(one), tensors_of(other)
    return set(left) == set(right) and all(np.array_equal(left[name], right[name]) for name in left)


def test_many_dictionaries_learn_from_one_stream(pool):
    texts = corpus_of()
    recipes = [
        recipe(),
        recipe(architecture="topk", layer=2),
        recipe(architecture="relu", sparsity=0.5, site="mlp_out"),
        recipe(architecture="matryoshka", site="head_out"),
        recipe(site="ln_mlp", site_out="mlp_out"),
    ]
    made = pool.train_saes(texts, recipes, slice_tokens=4000)
    assert [one.architecture for one in made] == ["jumprelu", "topk", "relu", "jumprelu", "jumprelu"]
    card = pool.card()
    assert made[3].width == int(np.prod(card.sites["head_out"].shape))
    assert made[4].transcodes and made[4].site_out == "mlp_out"
    for one, asked in zip(made, recipes, strict=True):
        assert (one.site, one.layer, one.latents) == (asked.site, asked.layer, 64)
        assert one.checkpoint == card.digest and one.made_from["recipe"]["tokens"] == 20_000
        assert list(one.history["seen"])[-1] == 20_000
    acts = pool.capture(texts[:40], layers=[1, 2], sites="resid_post")
    for one in made[:2]:
        place = one.layer - 1
        rows = np.concatenate([acts.array("resid_post", row=i)[place][1:] for i in range(40)]).astype(np.float32)
        found = im.fidelity(one, rows)
        assert found.fvu < 0.6 and found.l0 < 8
        assert found.fvu == pytest.approx(one.history["fvu"].iloc[-1], abs=0.15)
    assert not any(job.method == "train" for job in pool.jobs())


def test_a_named_layer_and_an_expansion_make_one(pool):
    sae = pool.train_sae(corpus_of(100), -1, expansion=2, k=4, tokens=3_000, batch=500)
    card = pool.card()
    assert sae.layer == card.layers - 1 and sae.latents == 2 * card.d_model
    assert sae.checkpoint == card.digest


def test_a_corpus_may_be_a_file_or_end_before_the_tokens(pool, tmp_path):
    texts = corpus_of(60)
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (again,) = pool.train_saes(tmp_path / "corpus.jsonl", [recipe(tokens=4_000)], slice_tokens=1000)
    assert again.history["seen"].iloc[-1] == 4_000
    (once,) = pool.train_saes(iter(texts), [recipe(tokens=4_000)], slice_tokens=1000)
    assert 500 < once.history["seen"].iloc[-1] < 4_000
    long = " ".join(texts)
    (cut,) = pool.train_saes([long] * 3, [recipe(tokens=2_000)], context=16)
    assert cut.history["seen"].iloc[-1] == 2_000
    (some,) = pool.train_saes(iter(texts), [recipe(tokens=100_000)], share=0.25)
    whole = pool.train_saes(iter(texts), [recipe(tokens=100_000)])[0].history["seen"].iloc[-1]
    assert 0.15 * whole < some.history["seen"].iloc[-1] < 0.35 * whole


def test_training_that_lost_its_worker_gives_the_same_dictionary(own_pool, own, monkeypatch):
    """Killed twice: before there is a checkpoint, and after."""
    texts = corpus_of()
    asked = {"recipes": [recipe(), recipe(architecture="gated", sparsity=1.0, dead_after=3000)], "slice_tokens": 2000}
    whole = own_pool.train_saes(texts, **asked)
    noted = training.Training._note
    deaths = []

    def kill_after(self, part):
        noted(self, part)
        if part.meta.slice in (1, 5) and part.meta.slice not in deaths:
            deaths.append(part.meta.slice)
            (worker,) = [p for p in own() if named(p, "worker", "--process")]
            worker.kill()
            worker.wait()
        monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", -1.0 if part.meta.slice >= 2 else 1e9)

    monkeypatch.setattr(training.Training, "_note", kill_after)
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 1e9)
    again = own_pool.train_saes(texts, **asked)
    assert deaths == [1, 5]
    for one, other in zip(whole, again, strict=True):
        assert same(one, other)


def test_training_that_was_interrupted_goes_on_where_it_was(pool, tmp_path, monkeypatch):
    texts = corpus_of()
    asked = {"recipes": [recipe()], "slice_tokens": 2000}
    (whole,) = pool.train_saes(texts, **asked)
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", -1.0)
    noted = training.Training._note

    def interrupt(self, part):
        noted(self, part)
        if part.meta.slice == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Training, "_note", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.train_saes(texts, path=tmp_path / "run", **asked)
    seen = []
    monkeypatch.setattr(
        training.Training, "_note", lambda self, part: (seen.append(part.meta.slice), noted(self, part))
    )
    (again,) = pool.train_saes(texts, path=tmp_path / "run", **asked)
    assert seen[0] == 4 and same(whole, again)
    assert list(again.history["seen"]) == list(whole.history["seen"])
    with pytest.raises(RequestError, match="other recipes, another model or other options; choose another directory"):
        pool.train_saes(texts, [recipe(k=5)], slice_tokens=2000, path=tmp_path / "run")
    with pytest.raises(RequestError, match="holds a training on other texts; choose another directory"):
        pool.train_saes(corpus_of(seed=3), path=tmp_path / "run", **asked)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "notes.txt").write_text("mine")
    with pytest.raises(RequestError, match="holds something else than a training"):
        pool.train_saes(texts, path=tmp_path / "else", **asked)


def test_others_run_between_its_batches(pool):
    """A long slice does not shut out a short question."""
    texts = corpus_of(300)
    large = recipe(latents=8192, tokens=6_000, batch=200)
    done = []
    thread = threading.Thread(target=lambda: done.append(pool.train_saes(texts, [large], slice_tokens=100_000)))
    thread.start()
    try:
        wait_for(lambda: any(job.method == "train" and job.state == "running" for job in pool.jobs()))
        asked = 0
        while any(job.method == "train" and job.state == "running" for job in pool.jobs()):
            pool.lens([0, 1, 2, asked % 8])
            asked += 1
        assert asked >= 2
    finally:
        thread.join()
    assert done[0][0].latents == 8192


def test_a_cancelled_training_leaves_nothing(pool):
    texts = corpus_of(300)
    errors = []

    def train():
        try:
            pool.train_saes(texts, [recipe(latents=8192, tokens=10**6)], slice_tokens=100_000)
        except Cancelled as error:
            errors.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    wait_for(lambda: any(job.method == "train" and job.state == "running" for job in pool.jobs()))
    (job,) = [job for job in pool.jobs() if job.method == "train"]
    pool.job(job.job).cancel()
    thread.join(120)
    assert len(errors) == 1
    wait_for(lambda: not any(job.method == "train" for job in pool.jobs()))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layer": 99}, "layer 99 of 'resid_post' does not exist"),
        ({"site": "resid_pots"}, "unknown site 'resid_pots'; did you mean 'resid_post'"),
        (
            {"site": "logits", "layer": 0},
            "a dictionary reads activations of a fixed width, which 'logits' does not have",
        ),
        ({"latents": 10**9}, r"GB would be held at once, the worker allows 8\.6 GB|GB, the pool allows"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_it_is_paid_for(pool, given, message):
    with pytest.raises((RequestError, im.RemoteError), match=message):
        pool.train_saes(corpus_of(10), [recipe(**given)])


def test_texts_that_say_nothing_are_refused(pool):
    with pytest.raises((RequestError, im.RemoteError), match="all the same, so there is nothing to learn"):
        pool.train_saes([[5]] * 20, [recipe(layer=0)])
    with pytest.raises(RequestError, match="the corpus has no text"):
        pool.train_saes([], [recipe()])
    with pytest.raises(RequestError, match="no recipe"):
        pool.train_saes(corpus_of(3), [])


def ask(pool, objects=None, **given):
    """A slice as a hostile client may send it."""
    given = {"texts": (Ids(tuple(range(3, 60))),), "recipes": (recipe(),), "training": "ab" * 16, **given}
    return pool._submit(TrainRequest(**given), pool.model, objects or {}, "interactive", True)


def test_a_state_from_a_user_is_looked_at_before_it_is_used(pool):
    """The optimiser trusts sizes: a wrong one would end the worker, and everybody's jobs with it."""
    part = ask(pool, checkpoint=True).result()
    sound = {name: np.array(value) for name, value in files.decode(part.checkpoint())[0].items()}

    def resumed(**changed):
        data = files.encode({**sound, **{f"0/{name.replace('__', '/')}": value for name, value in changed.items()}}, {})
        digest = sha256(data).hexdigest()
        return ask(pool, {digest: data}, slice=1, state=Stored(digest, "state"), training="cd" * 16)

    assert resumed().result().meta.slice == 1
    for changed, says in (
        (
            {"moment1__encoder": np.zeros(1, np.float32), "moment2__encoder": np.zeros(1, np.float32)},
            "another kind or size",
        ),
        ({"weights__encoder": np.full_like(sound["0/weights/encoder"], np.nan)}, "not finite"),
        ({"dead": np.array([64])}, "latents that the dictionary does not have"),
        ({"since": np.zeros(3, np.int64)}, "latents that the dictionary does not have"),
        ({"numbers": np.array([0.5, -1.0, 1.0])}, "make no sense"),
        ({"counts": np.array([-1, 0, 1, 0])}, "make no sense"),
        ({"counts": np.array([0, 0, 9, 0])}, "another slice"),
    ):
        with pytest.raises(im.RequestError, match=says):
            resumed(**changed).result()


def test_rows_that_were_captured_teach_what_their_texts_teach(pool):
    """The same rows in the same order, once read by a pass, once brought along."""
    texts = [Ids(tuple(np.random.default_rng(n).integers(3, 90, 40).tolist())) for n in range(30)]
    asked = {"recipes": (recipe(tokens=1200), recipe(site="head_out", tokens=1200)), "training": "ba" * 16}
    read = ask(pool, texts=tuple(texts), finish=True, **asked).result().dictionaries({})
    acts = pool.capture([list(text.ids) for text in texts], layers=[1], sites="resid_post,head_out")
    rows = range(len(texts))
    tensors = {f"{site}/1": _flat([acts.array(site, 1, row) for row in rows]) for site in acts.sites}
    tensors["ids"] = np.concatenate([acts.rows[row].token_ids for row in rows])
    brought = ask_rows(pool, tensors, finish=True, **asked).result().dictionaries({})
    for one, other in zip(read, brought, strict=True):
        assert all(np.allclose(left, tensors_of(other)[name], atol=1e-3) for name, left in tensors_of(one).items())


def _flat(arrays):
    return np.concatenate([array.reshape(len(array), -1) for array in arrays])


def ask_rows(pool, tensors, **given):
    data = files.encode(tensors, {})
    digest = sha256(data).hexdigest()
    given = {"count": len(next(iter(tensors.values()))), "texts": (), **given}
    return ask(pool, {digest: data}, rows=Stored(digest, "ids"), **given)


def test_rows_from_a_user_are_looked_at_before_they_are_used(pool):
    ids, values = np.arange(3, 103, dtype=np.int32), np.random.default_rng(0).normal(size=(100, 64)).astype(np.float32)
    width = int(np.prod(pool.card().sites["resid_post"].shape))
    sound = {"ids": ids, "resid_post/1": np.resize(values, (100, width))}
    assert ask_rows(pool, sound).result().meta.tokens == 100
    for changed, says in (
        ({"ids": ids[:50]}, "do not say the tokens of their 100 positions"),
        ({"ids": ids.astype(np.float32)}, "do not say the tokens"),
        ({"resid_post/1": sound["resid_post/1"][:, 1:]}, "at 'resid_post' of layer 1, not numbers of"),
        ({"resid_post/1": sound["resid_post/1"].astype(np.int32)}, "not numbers of"),
        ({"resid_post/1": np.full_like(sound["resid_post/1"], np.nan)}, "100 of 100 activations .* are not finite"),
    ):
        with pytest.raises(im.RequestError, match=says):
            ask_rows(pool, {**sound, **changed}, count=100).result()
    with pytest.raises(im.RequestError, match="no numbers at 'resid_post' of layer 1"):
        ask_rows(pool, {"ids": ids}).result()
    with pytest.raises(im.RequestError, match="has texts or rows that were captured, not both"):
        ask_rows(pool, sound, texts=(Ids((5, 6)),))
    with pytest.raises(im.RequestError, match="0 to 16,777,216 positions"):
        ask_rows(pool, sound, count=1 << 25)


def test_a_slice_that_does_not_fit_its_training_is_refused(pool):
    ask(pool, training="ef" * 16).result()
    with pytest.raises(im.RequestError, match="other recipes than the training"):
        ask(pool, training="ef" * 16, slice=1, recipes=(recipe(k=2),)).result()
    with pytest.raises(im.RemoteError, match="no longer holds this training"):
        ask(pool, training="ef" * 16, slice=1).result()
    with pytest.raises(im.RequestError, match="has had no text cannot be finished"):
        ask(pool, texts=(), finish=True)
    with pytest.raises(im.RequestError, match="unknown site 'nonsense'"):
        ask(pool, texts=(), finish=True, slice=1, recipes=(recipe(site="nonsense"),))
    with pytest.raises(im.RequestError, match="no two tokens to learn from"):
        ask(pool, texts=(Ids((0,)),)).result()
    with pytest.raises(im.RequestError, match="400 groups are more than 16"):
        recipe(latents=400, architecture="matryoshka", groups=tuple(range(1, 401)))


def test_a_training_that_diverges_says_so(pool):
    with pytest.raises(
        im.RequestError, match="has diverged: its weights are no longer finite; lower the learning rate"
    ):
        pool.train_saes(corpus_of(100), [recipe(architecture="relu", learning_rate=1e30, dead_after=1)])


def test_a_corpus_that_can_be_read_only_once_ends(pool):
    class Once:
        def __init__(self):
            self.left = iter(corpus_of(20))

        def __len__(self):
            return 20

        def __iter__(self):
            return self.left

    (made,) = pool.train_saes(Once(), [recipe(tokens=10**6)])
    assert made.history["seen"].iloc[-1] < 3000
    long = [tuple(range(3, 203))] * 8
    (cut,) = pool.train_saes(long, [recipe(tokens=800)])
    assert cut.history["seen"].iloc[-1] == 800


@pytest.fixture(scope="module")
def store(shared_pool, tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "acts"
    sites = {"layers": [1, 2], "sites": "resid_post,mlp_out", "shard_tokens": 800}
    return shared_pool.capture_corpus(corpus_of(200), path, dtype="float32", **sites)


def test_every_captured_position_comes_once_each_time_in_slices_of_many_documents(store):
    there = {}
    for number, shard in enumerate(store):
        for row, one in enumerate(shard.rows):
            values, others = shard.array("resid_post", 2, row), shard.array("mlp_out", 1, row)
            for place, token in enumerate(one.token_ids):
                there[values[place].tobytes()] = (int(token), others[place].tobytes(), (number, row))
    assert len(there) > 0.9 * store.tokens
    given = lessons.from_store(store, {"resid_post": [2], "mlp_out": [1]}, 700, 64 << 20, 1.0, seed=4)
    orders = []
    for _ in range(2):
        seen, documents = [], []
        while len(seen) < store.tokens:
            lesson = next(given)
            tensors, _meta = files.decode(lesson.data())
            assert lesson.count == len(tensors["ids"]) <= 1000
            found = [there[row.tobytes()] for row in tensors["resid_post/2"]]
            assert [token for token, *_ in found] == tensors["ids"].tolist()
            assert [other for _, other, _ in found] == [row.tobytes() for row in tensors["mlp_out/1"]]
            seen += [row.tobytes() for row in tensors["resid_post/2"]]
            documents.append(len({document for *_, document in found}))
        assert len(seen) == store.tokens and set(seen) == set(there)
        assert min(documents) > 100
        orders.append(seen)
    assert orders[0] != orders[1]


def test_it_is_learned_from_as_the_corpus_is_and_kept_for_no_longer(pool, store, tmp_path, monkeypatch):
    before = pool._connection.state().quota.stored[0]
    asked = {"recipes": [recipe(tokens=10_000), recipe(tokens=10_000, layer=2, site="mlp_out")], "slice_tokens": 2000}
    made = pool.train_saes(store, **asked)
    texts = pool.train_saes(corpus_of(200), **asked)
    assert pool._connection.state().quota.stored[0] == before
    for one, other in zip(made, texts, strict=True):
        assert list(one.history["seen"])[-1] == 10_000
        assert one.history["fvu"].iloc[-1] == pytest.approx(other.history["fvu"].iloc[-1], abs=0.03)
    assert pool.train_sae(store.path, 1, latents=64, k=4, tokens=3000, share=0.5).history["seen"].iloc[-1] == 3000
    passes = []
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", -1.0)
    noted = training.Training._note

    def interrupt(self, part):
        noted(self, part)
        passes.append(part.meta.slice)
        if part.meta.slice == 2 and passes.count(2) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Training, "_note", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.train_saes(store, path=tmp_path / "run", **asked)
    again = pool.train_saes(store, path=tmp_path / "run", **asked)
    assert passes[:4] == [0, 1, 2, 3] and all(same(one, other) for one, other in zip(made, again, strict=True))
    assert pool._connection.state().quota.stored[0] == before


def test_a_store_that_does_not_have_what_is_asked_for_is_refused(pool, store, tmp_path):
    with pytest.raises(RequestError, match="has no 'attn_out'"):
        pool.train_saes(store, [recipe(site="attn_out")])
    with pytest.raises(RequestError, match="has no layer 0 of 'resid_post'"):
        pool.train_saes(store, [recipe(layer=0)])
    foreign = replace(store, index=msgspec.structs.replace(store.index, checkpoint="0" * 64))
    with pytest.raises(RequestError, match="; capture the corpus anew"):
        pool.train_saes(foreign, [recipe()])
    with pytest.raises(RequestError, match=r"holds no activations: there is no index\.json"):
        pool.train_saes(tmp_path, [recipe()])
