"""Reading features on a pool, beside numpy on what is captured."""

import numpy as np
import pytest

import interp_magics as im
from interp_magics.program.latents import Kept
from tests.pool.test_dictionaries import LATENTS, LAYER, made


def texts_of(count=60):
    draw = np.random.default_rng(4)
    return [[int(token) for token in draw.integers(3, 40, draw.integers(4, 30))] for _ in range(count)]


@pytest.fixture(scope="module")
def texts():
    return texts_of()


@pytest.fixture
def activations(pool, texts):
    """(sae, latents of all tokens of each text)"""
    sae = made("jumprelu", pool.card().d_model)
    acts = pool.capture(texts, layers=[LAYER], dtype="float32")
    return sae, [sae.encode(acts.array("resid_post", LAYER, row=row)) for row in range(len(texts))]


def test_a_table_says_what_all_activations_say(pool, texts, activations):
    sae, each = activations
    f = np.concatenate(each).astype(np.float64)
    tokens = np.concatenate(texts)
    table = pool.features(sae, texts, kept=Kept(top=4), slice_tokens=150)
    assert table.meta.tokens == len(f) and table.meta.texts == len(texts)
    assert np.allclose(table.density, (f > 0).mean(0)) and np.allclose(table.max, f.max(0), rtol=1e-3)
    assert np.allclose(table.mean, f.sum(0) / np.maximum(1, (f > 0).sum(0)), rtol=1e-3)
    strings = dict(zip(range(40), pool.tokenize(list(range(40))).tokens, strict=True))
    for latent in range(LATENTS):
        feature = table[latent]
        peaks = [activation[:, latent].max() for activation in each]
        best = [peak for peak in sorted(peaks, reverse=True)[:4] if peak > 0]
        assert np.allclose([peaks[example.text] for example in feature.examples], best, rtol=1e-3)
        assert len({example.text for example in feature.examples}) == len(best)
        for example in feature.examples:
            assert list(example.ids) == texts[example.text]
            assert each[example.text][example.position, latent] == pytest.approx(peaks[example.text], rel=1e-3)
            assert example.activation == pytest.approx(peaks[example.text], rel=1e-3)
            assert "«" in example.window()
        sums = np.array([f[tokens == token, latent].sum() for token in range(40)])
        order = [token for token in np.argsort(-sums, kind="stable")[:10] if sums[token] > 0]
        assert [token for token, _, _ in feature.tokens] == [strings[token] for token in order]
        assert np.allclose([total for _, total, _ in feature.tokens], sums[order], rtol=1e-3)
        assert sum(feature.histogram.values()) == (f[:, latent] > 0).sum()
        for example in feature.samples:
            assert example.activation == pytest.approx(each[example.text][example.position, latent], rel=1e-3)


def test_a_table_does_not_depend_on_how_the_corpus_is_cut(pool, texts, activations, tmp_path):
    sae, _ = activations
    whole, cut = pool.features(sae, texts), pool.features(sae, texts, slice_tokens=100)
    for name in (
        "count",
        "histogram",
        "top_piece",
        "top_position",
        "samples_piece",
        "samples_position",
        "token_key",
        "piece_ids",
    ):
        assert np.array_equal(whole.tensors[name], cut.tensors[name]), name
    for name in ("total", "top_value", "directions", "places"):
        assert np.allclose(whole.tensors[name], cut.tensors[name], rtol=1e-3, atol=1e-3), name
    cut.save(tmp_path / "table.safetensors")
    again = im.load(tmp_path / "table.safetensors")
    assert again.meta == cut.meta and repr(again[3]) == repr(cut[3])
    assert list(again.to_pandas().columns) == ["density", "mean", "max", "coherence", "tokens"]


def test_correlation_and_coherence_are_near_what_they_estimate(pool, texts, activations):
    sae, each = activations
    f = np.concatenate(each).astype(np.float64)
    table = pool.features(sae, texts)
    norms = np.linalg.norm(f, axis=0)
    cosines = f.T @ f / np.maximum(np.outer(norms, norms), 1e-9)
    latent = int(norms.argmax())
    for other, cosine in table.correlated(latent, 5):
        assert cosine == pytest.approx(cosines[latent, other], abs=0.3)
    acts = pool.capture(texts, layers=[LAYER], dtype="float32")
    x = np.concatenate([acts.array("resid_post", LAYER, row=row) for row in range(len(texts))]).astype(np.float64)
    unit = (x - sae.b_dec / sae.scale) if sae.subtract_b_dec else x
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for latent in np.argsort(-norms)[:5]:
        weighted = np.outer(f[:, latent], f[:, latent])
        np.fill_diagonal(weighted, 0)
        assert table.coherence[latent] == pytest.approx((weighted * (unit @ unit.T)).sum() / weighted.sum(), abs=0.25)


def test_the_same_reading_serves_neurons(pool, texts):
    table = pool.features("mlp_act", texts, layer=-1)
    card = pool.card()
    acts = pool.capture(texts, layers=[-1], sites="mlp_act", dtype="float32")
    f = np.concatenate([acts.array("mlp_act", card.layers - 1, row=row) for row in range(len(texts))])
    assert np.allclose(table.density, (f > 0).mean(0), atol=2e-3) and np.allclose(
        table.max, np.maximum(f, 0).max(0), rtol=1e-3
    )
    assert "neurons of mlp_act" in repr(table)


def test_what_cannot_be_read_is_refused(pool, texts, activations):
    sae, _ = activations
    with pytest.raises(im.RequestError, match="the corpus has no text"):
        pool.features(sae, [])
    with pytest.raises(im.RequestError, match="unknown site 'mlp_acts'; did you mean 'mlp_act'"):
        pool.features("mlp_acts", texts)
    with pytest.raises(im.RequestError, match="there is no latent 24"):
        pool.features(sae, texts[:3])[24]
    with pytest.raises(im.RequestError, match="top must lie in 1 to 100"):
        Kept(top=0)


def test_a_search_finds_what_tells_texts_apart_and_nothing_in_noise(pool):
    """The areas and p-values of scikit-learn and scipy, on latents that numpy computes."""
    from scipy.stats import false_discovery_control, mannwhitneyu
    from sklearn.metrics import roc_auc_score

    sae = made("jumprelu", pool.card().d_model)
    draw = np.random.default_rng(8)
    positive = [[3, *(int(token) for token in draw.integers(3, 12, 8))] for _ in range(40)]
    negative = [[3, *(int(token) for token in draw.integers(12, 40, 8))] for _ in range(30)]
    acts = pool.capture(positive + negative, layers=[LAYER], dtype="float32")
    rows = [acts.array("resid_post", LAYER, row=row) for row in range(70)]
    each = [sae.encode(x) for x in rows]
    # A latent that is a hair from its threshold may be on in one batch and off in another.
    steady = np.all([((sae.encode(x * 1.001) > 0) == (sae.encode(x * 0.999) > 0)).all(0) for x in rows], axis=0)
    assert steady.mean() > 0.5
    labels = np.repeat([1, 0], [40, 30])
    for over, reduce in (("max", lambda f: f.max(0)), ("mean", lambda f: f.mean(0)), ("last", lambda f: f[-1])):
        found = pool.search_features(sae, positive, negative, over=over)
        values = np.stack([reduce(f) for f in each])
        varies, still = values.std(0) > 1e-6, values.std(0) <= 1e-6
        varies &= steady
        areas = [roc_auc_score(labels, values[:, latent]) for latent in np.flatnonzero(varies)]
        assert np.allclose(found.columns["area"][varies], areas, atol=5e-3)
        p = mannwhitneyu(values[:40, varies], values[40:, varies], axis=0, method="asymptotic").pvalue
        assert np.allclose(found.columns["p"][varies], p, rtol=0.05, atol=1e-4)
        assert np.allclose(found.columns["q"], false_discovery_control(found.columns["p"]))
        assert (found.columns["p"][still] == 1).all() and (found.columns["area"][still] == 0.5).all()
    best = found.to_pandas().index[0]
    assert best in (*found.found(most=1), *found.found(side="negative", most=1))
    same = [[3, *(int(token) for token in draw.integers(3, 40, 8))] for _ in range(80)]
    noise = pool.search_features(sae, same[:40], same[40:])
    assert len(noise.found()) + len(noise.found(side="negative")) <= 1
    with pytest.raises(im.RequestError, match="3 negative texts: a search needs at least 5 on each side"):
        pool.search_features(sae, positive, negative[:3])


def test_a_table_tells_what_latents_promote(pool, texts, activations):
    """Beside a lens of the decoder's row in place of the last layer's stream, which ranks the tokens the same."""
    sae, _ = activations
    table = pool.features(sae, texts, slice_tokens=200)
    last = pool.card().layers - 1
    for latent in (0, 5, 11):
        row = im.SteeringVector({last: sae.W_dec[latent] * 100})
        edit = im.program.Edit("resid_post", last, im.program.Set(im.program.Stored(row.digest, str(last))))
        run = pool.run(
            im.program.Program(
                (im.program.Row(im.program.Ids((3, 4))),),
                (im.program.Stage((im.program.Tap("resid_post", (last,), reduce=im.program.Lens(top_k=5)),), (edit,)),),
            ),
            {row.digest: row.data},
        )
        strings = pool.tokenize([int(token) for token in run.read()["top_ids"][0, 0]]).tokens
        assert [token for token, _ in table[latent].promotes[:5]] == list(strings)
        values = [value for _, value in table[latent].suppresses]
        assert values == sorted(values) and values[-1] < 0
    assert pool.features("mlp_act", texts[:5])[0].promotes == ()


def test_the_latents_of_a_prompt_are_those_of_its_activations(pool, activations, texts):
    sae, each = activations
    found = pool.latents(sae, texts[:3])
    for text, one, f in zip(texts, found, each, strict=False):
        assert list(one.ids) == text and np.allclose(one.values, f, atol=1e-3)
        latent, value, position = one.strongest(1)[0]
        assert value == pytest.approx(f[1:].max(), rel=1e-3) and f[position, latent] == pytest.approx(value, rel=1e-3)
    some = pool.latents(sae, texts[0], [5, 2])
    assert some.latents == (5, 2) and np.allclose(some.of(2), each[0][:, 2], atol=1e-3) and "strongest" in repr(some)
    with pytest.raises(im.RequestError, match="there is no latent 99"):
        pool.latents(sae, texts[0], [99])
    other = im.Dictionary(*(np.zeros(s) for s in ((5, 3), (3, 5), 3, 5)), layer=LAYER)
    with pytest.raises(im.RequestError, match="reads a whole width of 5"):
        pool.latents(other, texts[0])
