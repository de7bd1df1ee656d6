"""Latents of a dictionary in a pool: clamped where the model computes, against the formula in numpy."""

import numpy as np
import pytest

import interp_magics as im
from interp_magics.data.dictionary import Dictionary

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


def test_a_latent_that_depends_on_the_others_is_not_clamped_alone():
    made = Dictionary(np.zeros((4, 8)), np.zeros((8, 4)), np.zeros(8), np.zeros(4), "topk", k=2)
    with pytest.raises(im.RequestError, match="form with a threshold"):
        made.clamp(1, high=0.0)
