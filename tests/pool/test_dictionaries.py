"""Latents of a dictionary in a pool: clamped where the model computes, against the formula in numpy."""

from hashlib import sha256

import numpy as np
import pytest

import interp_magics as im
from interp_magics.data.dictionary import Dictionary
from interp_magics.methods import plans
from interp_magics.methods.generate.request import GenerateRequest
from interp_magics.program.language import Ids, Sampling
from interp_magics.program.operations import Hold

IDS = [[0, 17, 44, 9, 23], [5, 6, 7]]
LAYER, LATENTS = 1, 24


@pytest.fixture(params=["relu", "jumprelu"])
def sae(request, pool):
    draw, width, card = np.random.default_rng(3), pool.card().d_model, pool.card()
    more = {} if request.param == "relu" else {"architecture": "jumprelu", "threshold": np.full(LATENTS, 0.02)}
    return Dictionary(
        draw.standard_normal((width, LATENTS)),
        0.1 * draw.standard_normal((LATENTS, width)),
        0.1 * draw.standard_normal(LATENTS),
        0.1 * draw.standard_normal(width),
        subtract_b_dec=request.param == "relu",
        layer=LAYER,
        made_from={"checkpoint": card.digest},
        **more,
    )


def stream(pool, steer=()):
    acts = pool.capture(IDS, layers=[LAYER, LAYER + 1], dtype="float32", steer=steer)
    return [acts.array("resid_post", LAYER, row=row) for row in range(len(IDS))]


@pytest.mark.parametrize(
    ("low", "high", "above"),
    [(None, 0.0, None), (2.0, None, None), (0.5, 1.0, None), (None, 0.0, 0.8), (3.0, 3.0, 0.0)],
)
def test_a_latent_is_held_within_its_bounds_and_the_rest_stays(pool, sae, low, high, above):
    latent = int(np.argmax(sum(sae.encode(x).sum(0) for x in stream(pool))))
    steered = stream(pool, sae.clamp(latent, low, high, when_above=above))
    for x, moved in zip(stream(pool), steered, strict=True):
        f = sae.encode(x)[:, latent].astype(np.float64)
        held = np.clip(f, low, high)
        held = held if above is None else np.where(f > above, held, f)
        assert np.allclose(moved, x + np.outer(held - f, sae.W_dec[latent]), atol=1e-4)


def test_a_clamp_to_what_is_there_changes_nothing(pool, sae):
    for steered, x in zip(stream(pool, sae.clamp(3, 0.0, 1e6)), stream(pool), strict=True):
        assert np.array_equal(steered, x)


def test_a_row_of_the_decoder_steers_as_any_vector(pool, sae):
    for steered, x in zip(stream(pool, sae.vector(5) * 2.0), stream(pool), strict=True):
        assert np.allclose(steered, x + 2 * sae.W_dec[5], atol=1e-5)


def test_a_dictionary_of_another_checkpoint_is_refused(pool, sae):
    from dataclasses import replace

    other = replace(sae, made_from={"checkpoint": "f" * 64, "model": "another"})
    for steer in (other.vector(1), other.clamp(1, high=0.0)):
        with pytest.raises(im.RequestError, match="made on"):
            pool.generate(IDS, 3, steer=steer)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda sae: sae.clamp(1), "give low, high or both"),
        (lambda sae: sae.clamp(1, 2.0, 1.0), "low 2.0 is above high 1.0"),
        (lambda sae: sae.clamp(99, high=0.0), "no latent 99"),
        (lambda sae: sae.clamp(1, high=float("nan")), "high"),
    ],
)
def test_a_clamp_that_is_none_says_so(sae, call, says):
    with pytest.raises(im.RequestError, match=says):
        call(sae)


KINDS = ["relu", "jumprelu", "topk", "gated", "layer_norm", "constant_norm", "scaled"]


def made(kind, width, out=None, **more):
    draw, out = np.random.default_rng(5), out or width

    def normal(*shape, scale=0.3):
        return scale * draw.standard_normal(shape)

    architecture = kind if kind in ("relu", "jumprelu", "topk", "gated") else "relu"
    given = {"normalize": kind} if kind.endswith("norm") else {}
    given |= {"scale": 0.5} if kind == "scaled" else {}
    given |= (
        {"threshold": np.full(LATENTS, 0.2)}
        if kind == "jumprelu"
        else {"k": 3, "rank_by_norm": True}
        if kind == "topk"
        else {}
    )
    if kind == "gated":
        given = {"b_gate": normal(LATENTS), "b_mag": normal(LATENTS), "r_mag": normal(LATENTS)}
    weights = normal(width, LATENTS), normal(LATENTS, out), normal(LATENTS), normal(out)
    return Dictionary(
        *weights, architecture, layer=LAYER, subtract_b_dec=out == width and "site_out" not in more, **given, **more
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_splice_is_what_the_dictionary_says(pool, kind):
    sae = made(kind, pool.card().d_model)
    plain = stream(pool)
    for x, spliced in zip(plain, stream(pool, sae.splice()), strict=True):
        assert np.allclose(spliced, sae.reconstruct(x), atol=2e-4)
    for x, same in zip(plain, stream(pool, sae.splice(error="keep")), strict=True):
        assert np.array_equal(same, x)
    latent = int(np.argmax(sum(sae.encode(x).sum(0) for x in plain)))
    steered = stream(pool, sae.clamp(latent, 0.5, 1.0, times=2.0))
    for x, moved in zip(plain, steered, strict=True):
        f = sae.encode(x)
        held = f.copy()
        held[:, latent] = np.clip(2 * f[:, latent], 0.5, 1.0)
        spread = {
            "layer_norm": (x - x.mean(1, keepdims=True)).std(1, keepdims=True, ddof=1),
            "constant_norm": np.linalg.norm(x, axis=1, keepdims=True) / x.shape[1] ** 0.5,
        }.get(sae.normalize, 1.0)
        assert np.allclose(moved, x + (held - f) @ sae.W_dec / sae.scale * spread, atol=2e-4)
    if kind in ("topk", "gated"):
        with pytest.raises(im.RequestError, match="has no when_above"):
            sae.clamp(latent, high=0.0, when_above=1.0)


def test_some_latents_alone_are_spliced(pool):
    sae = made("relu", pool.card().d_model)
    for x, spliced in zip(stream(pool), stream(pool, sae.splice(only=[1, 4])), strict=True):
        f = np.zeros((len(x), LATENTS), np.float32)
        f[:, [1, 4]] = sae.encode(x)[:, [1, 4]]
        assert np.allclose(spliced, sae.decode(f), atol=2e-4)
    with pytest.raises(im.RequestError, match="no latent 24"):
        pool.generate(IDS, 2, steer=sae.splice(only=[24]))


def test_a_transcoder_reads_one_site_and_writes_another(pool):
    sae = made(
        "jumprelu", pool.card().d_model, site="ln_mlp", site_out="mlp_out", W_skip=0.1 * np.eye(pool.card().d_model)
    )
    acts = pool.capture(IDS, layers=[LAYER], sites="ln_mlp,mlp_out", dtype="float32")
    for steer, error in ((sae.splice(), "drop"), (sae.splice([im.program.Hold(2, 0.7, 0.7)], "keep"), "keep")):
        steered = pool.capture(IDS, layers=[LAYER], sites="mlp_out", dtype="float32", steer=steer)
        for row in range(len(IDS)):
            x, y = (acts.array(site, LAYER, row=row) for site in ("ln_mlp", "mlp_out"))
            change = np.outer(0.7 - sae.encode(x)[:, 2], sae.W_dec[2])
            wanted = sae.reconstruct(x) if error == "drop" else y + change
            assert np.allclose(steered.array("mlp_out", LAYER, row=row), wanted, atol=2e-4)


def test_a_splice_holds_while_the_model_generates(pool):
    """Step by step as in one pass over the same tokens."""
    sae = made("topk", pool.card().d_model)
    for steer in (sae.splice(), sae.clamp(3, 1.0, 1.0)):
        run = pool.lens(IDS[0], generate=5, steer=steer, sites="resid_post")
        whole = pool.lens([*IDS[0], *run.completion_ids[:-1]], steer=steer, sites="resid_post")
        assert np.abs(run.top_logprobs - whole.top_logprobs).max() < 1e-4


@pytest.mark.parametrize("transcodes", [False, True])
def test_a_dictionary_is_evaluated_as_its_definitions_say(pool, transcodes):
    """Beside the numpy fidelity of what is captured, and losses from the model's own log-probabilities."""
    width = pool.card().d_model
    sae = made("jumprelu", width, **({"site": "ln_mlp", "site_out": "mlp_out"} if transcodes else {}))
    ids = [[3, 17, 44, 9, 23], [5, 6, 7]]
    found = pool.evaluate_sae(sae, ids)
    acts = pool.capture(ids, layers=[LAYER], sites="ln_mlp,mlp_out,resid_post", dtype="float32")
    x, y = (
        np.concatenate([acts.array(site, LAYER, row=row) for row in range(2)]).astype(np.float64)
        for site in ((sae.site, sae.site_out) if transcodes else ("resid_post", "resid_post"))
    )
    error = ((y - sae.reconstruct(x)) ** 2).sum()
    assert found.fidelity.fvu == pytest.approx(error / ((y - y.mean(0)) ** 2).sum(), rel=1e-4)
    assert found.fidelity.l0 == pytest.approx((sae.encode(x) > 0).sum(1).mean(), rel=1e-6)
    assert found.fidelity.tokens == 8 and found.predictions == 6

    def losses(steer=()):
        total, logits = 0.0, []
        for row in ids:
            raw = (
                pool.capture([row], sites="logits", dtype="float32", steer=steer)
                .array("logits", 0, row=0)
                .astype(np.float64)
            )
            logs = (
                raw - np.log(np.exp(raw - raw.max(1, keepdims=True)).sum(1, keepdims=True)) - raw.max(1, keepdims=True)
            )
            logits.append(logs[:-1])
            total -= logs[np.arange(len(row) - 1), row[1:]].sum()
        return total / 6, np.concatenate(logits)

    clean, logs = losses()
    spliced, logs_spliced = losses(sae.splice())
    where = sae.site_out or sae.site
    zero, logs_zero = losses([im.program.Edit(where, LAYER, im.program.Zero())])
    assert found.loss_clean == pytest.approx(clean, abs=1e-4)
    assert found.loss_spliced == pytest.approx(spliced, abs=1e-4)
    assert found.loss_zero == pytest.approx(zero, abs=1e-4)
    assert found.loss_bias == pytest.approx(losses(sae.splice(only=[]))[0], abs=1e-4)
    kl = (np.exp(logs) * (logs - logs_spliced)).sum() / 6
    kl_zero = (np.exp(logs) * (logs - logs_zero)).sum() / 6
    assert found.kl == pytest.approx(kl, rel=1e-3) and found.kl_score == pytest.approx(
        1 - kl / kl_zero, rel=1e-2, abs=1e-3
    )
    assert found.ce_score == pytest.approx((zero - spliced) / (zero - clean), rel=1e-2, abs=1e-2)
    assert "over 8 tokens" in repr(found) and "over 6 predictions" in repr(found)


def test_an_evaluation_does_not_depend_on_how_its_texts_are_cut(pool):
    from interp_magics.data import sae_evaluation

    sae = made("jumprelu", pool.card().d_model)
    texts = [[1 + (7 * i + j) % 60 for j in range(3 + i % 5)] for i in range(20)]
    whole = pool.evaluate_sae(sae, texts)
    parts = sae_evaluation.merge([pool.evaluate_sae(sae, texts[:7]), pool.evaluate_sae(sae, texts[7:])])
    for name, value in whole.summary().items():
        assert parts.summary()[name] == pytest.approx(value, rel=1e-6), name
    cut = pool.evaluate_sae(sae, texts, context=4)
    assert cut.fidelity.tokens == whole.fidelity.tokens and cut.predictions < whole.predictions
    other = Dictionary(*(np.zeros(shape) for shape in ((5, 3), (3, 5), 3, 5)), layer=LAYER)
    with pytest.raises(
        (im.RequestError, im.RemoteError), match=r"the dictionary has width 5, but 'resid_post' of .* has"
    ):
        pool.evaluate_sae(other, texts)


def test_what_would_make_nonsense_of_a_dictionary_is_refused(pool):
    from dataclasses import replace

    from interp_magics.data import files
    from interp_magics.data.dictionary_object import tensors_of
    from interp_magics.program.operations import Splice, StoredDictionary

    sae = made("relu", pool.card().d_model)
    form, _ = sae.stored
    with pytest.raises(im.RequestError, match="scale of a dictionary must be above 0, not 0"):
        StoredDictionary(form.weights, form.width, form.out, form.latents, scale=0.0)
    broken = {name: np.array(value) for name, value in tensors_of(sae).items()}
    broken["W_dec"][3, 2] = np.nan
    data = files.encode(broken, {})
    digest = sha256(data).hexdigest()
    weights = tuple(im.program.Stored(digest, name) for name in broken)
    edit = im.program.Edit("resid_post", LAYER, Splice(StoredDictionary(weights, form.width, form.out, form.latents)))
    asked = im.program.Program((im.program.Row(im.program.Ids((3, 4))),), (im.program.Stage((), (edit,)),))
    with pytest.raises(im.RequestError, match="W_dec of the dictionary has values that are not finite"):
        pool.run(asked, {digest: data})
    worth = pool.evaluate_sae(sae, IDS)
    assert sae.note(worth).made_from["manifest"]["metrics"]["tokens"] == worth.fidelity.tokens
    with pytest.raises(im.RequestError, match="this evaluation is of another dictionary"):
        replace(sae, b_enc=sae.b_enc + 1).note(worth)


def test_a_splice_is_counted_before_it_is_paid_for(pool):
    """Beside a plain request: the encoder for every token, and the decoder once, or twice where the error is kept."""
    sae, card = made("relu", pool.card().d_model), pool.card()

    def cost(*edits):
        steer = tuple(edit.edit for edit in edits)
        return plans.cost(GenerateRequest((Ids((1, 2, 3)),), Sampling(5), steer), card, [3])

    plain = cost()
    for error, products in (("drop", 2), ("keep", 3)):
        found = cost(*sae.splice([Hold(2, 0.0, 0.0)], error))
        assert found.flops - plain.flops == 2 * 7 * LATENTS * card.d_model * products
        assert found.held_bytes - plain.held_bytes == 8 * 3 * LATENTS
