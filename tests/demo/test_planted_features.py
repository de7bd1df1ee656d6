"""What was planted in the demo model is found by its latents, and proven of some of them; others of the same perfect search do nothing.

Compliance theatre, the third attribute, is proven in notebook 04.
"""

import pytest

import interp_magics as im
from interp_magics.demo import planted

SUSPECTS = 5


@pytest.fixture(scope="module")
def pool():
    with im.connect() as pool:
        yield pool


@pytest.fixture(scope="module")
def learned(pool):
    """(dictionary, its table)"""
    texts = planted.corpus()
    sae = pool.train_sae(texts, 4, latents=768, k=12, tokens=250_000, batch=1024, seed=1)
    return sae, pool.features(sae, texts[::10])


@pytest.mark.parametrize(("number", "decoys"), [(0, 0), (1, 2)])
def test_an_attribute_is_found_and_one_of_its_latents_makes_it(pool, learned, number, decoys):
    sae, table = learned
    attribute = planted.attributes()[number]
    found = pool.search_features(sae, attribute.positive, attribute.negative, over=attribute.over)
    suspects = [int(latent) for latent in found.found(most=SUSPECTS)]
    assert len(suspects) == SUSPECTS and all(found.columns["area"][one] > 0.85 for one in suspects)
    proofs = [
        pool.test_feature(
            sae,
            latent,
            attribute.present,
            attribute.absent,
            attribute.behaviour,
            table=table,
            controls=3,
            max_new_tokens=attribute.tokens,
            doses=(0.0, 1.0),
            levels=(0.5, 1.0, 2.0),
        )
        for latent in suspects
    ]
    inert = [proof for proof in proofs if proof.verdict == "correlational"]
    assert any(proof.verdict == "causal" for proof in proofs), proofs
    assert len(inert) >= decoys, proofs
    best = max(proofs, key=lambda proof: proof.sufficiency.effect)
    assert best.sufficiency.effect >= 0.4 and best.sufficiency.control <= 0.25
