"""What a proof measures, beside the same changes made one by one, and beside raw logits."""

import re

import numpy as np
import pytest

from interp_magics.errors import RequestError
from tests.pool.test_dictionaries import made

PRESENT, ABSENT = [[0, 17, 44, 9], [5, 6, 7]], [[8, 9], [3, 30, 11]]
NEUTRAL = [[0, 21, 33, 12, 6], [14, 15, 8]]
PATTERN = "[aeiou]"


def prove(pool, sae, behaviour=PATTERN, **more):
    latent = int(pool.features(sae, PRESENT + ABSENT).density.argmax())
    return pool.test_feature(
        sae,
        latent,
        PRESENT,
        ABSENT,
        behaviour,
        neutral=NEUTRAL,
        max_new_tokens=6,
        controls=2,
        levels=(2.0, 1.0),
        **more,
    )


def test_a_proof_is_made_of_plain_completions(pool):
    sae = made("relu", pool.card().d_model)
    proof = prove(pool, sae)
    table = pool.features(sae, PRESENT + ABSENT)

    def shares(prompts, steer):
        return [float(bool(re.search(PATTERN, one.text))) for one in pool.generate(prompts, 6, steer=steer)]

    for row, latent in enumerate((proof.latent, *proof.controls)):
        for place, dose in enumerate(proof.doses):
            steer = () if dose == 1 else sae.clamp(latent, times=dose)
            assert list(proof.present[row, place]) == shares(PRESENT, steer)
        for place, level in enumerate(proof.levels):
            held = level * float(table.max[latent])
            assert list(proof.absent[row, place]) == shares(ABSENT, sae.clamp(latent, held, held))
    assert list(proof.plain_absent) == shares(ABSENT, ())


def test_side_effects_are_those_of_raw_logits(pool):
    sae = made("relu", pool.card().d_model)
    proof, table = prove(pool, sae), pool.features(sae, PRESENT + ABSENT)

    def logs(steer):
        acts = pool.capture(NEUTRAL, sites="logits", dtype="float32", steer=steer)
        logits = [acts.array("logits", 0, row=row)[:-1].astype(np.float64) for row in range(len(NEUTRAL))]
        shifted = np.concatenate(logits) - np.concatenate(logits).max(-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))

    plain = logs(())
    for row, latent in enumerate((proof.latent, *proof.controls)):
        held = 2.0 * float(table.max[latent])
        for kind, steer in enumerate((sae.clamp(latent, times=0.0), sae.clamp(latent, held, held))):
            kl = (np.exp(plain) * (plain - logs(steer))).sum(-1)
            assert proof.side_effects[row, kind] == pytest.approx(kl.mean(), rel=1e-3, abs=1e-7)


def test_a_behaviour_that_is_no_share_is_refused_and_leaves_no_job(pool):
    before = {job.job for job in pool.jobs()}
    with pytest.raises(RequestError, match=r"a number from 0 .* to 1 .*, not 7\.0"):
        prove(pool, made("relu", pool.card().d_model), behaviour=lambda text: 7.0)
    assert not {job.job for job in pool.jobs()} - before


def test_what_cannot_be_measured_is_refused(pool):
    sae, other = made("relu", pool.card().d_model), made("jumprelu", pool.card().d_model)
    table = pool.features(other, PRESENT)
    with pytest.raises(RequestError, match="read with another dictionary; read one with this"):
        pool.test_feature(sae, int(table.density.argmax()), PRESENT, ABSENT, PATTERN, table=table)
    latent = int(pool.features(sae, PRESENT + ABSENT).density.argmax())
    with pytest.raises(RequestError, match="neutral texts of two tokens or more"):
        pool.test_feature(sae, latent, PRESENT, ABSENT, PATTERN, neutral=[[5]], max_new_tokens=2, controls=1)
