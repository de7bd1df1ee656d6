"""Labels, judgements and proofs travel with a dictionary, and nothing is overwritten."""

import json

import numpy as np
import pytest

import interp_magics as im
from interp_magics.data.dictionary import Dictionary
from tests.unit.test_feature_proof import proof


@pytest.fixture
def sae():
    draw = np.random.default_rng(0)
    return Dictionary(draw.standard_normal((6, 9)), draw.standard_normal((9, 6)), np.zeros(9), np.zeros(6))


def test_labels_and_proofs_are_kept_in_the_manifest(sae, tmp_path):
    from dataclasses import replace

    found = replace(
        proof((0.0, 1.0), (0.0, 0.0), controls=((1.0, 1.0), (0.0, 0.0))), made_from={"dictionary": sae.digest}
    )
    made = (
        sae.label(3, "apologies")
        .label(3, "refusals", "confirmed", by="ada")
        .label(4, "noise")
        .label(4, "noise", "rejected")
    )
    made = made.note(found)
    made.save(tmp_path / "sae")
    again = im.load_sae(tmp_path / "sae")
    assert again.labels == {3: "refusals"} and again.verdicts == {3: "causal"}
    entries = again.notes(3)["labels"]
    assert [(entry["label"], entry["judgement"]) for entry in entries] == [
        ("apologies", "proposed"),
        ("refusals", "confirmed"),
    ]
    assert entries[1]["by"] == "ada" and entries[0]["when"].endswith("+00:00")
    assert again.notes(3)["proofs"][0]["necessity"]["effect"] == 1.0
    assert sae.labels == {} and again.digest == sae.digest
    again.label(5, "more").save(tmp_path / "more")
    features = json.loads((tmp_path / "more" / "manifest.json").read_text())["features"]
    assert set(features) == {"3", "4", "5"}


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({"recipe": {"lr": 1}}, "manifest.json is not as a manifest is: .*lr"),
        ({"recipe": {"latents": 0}}, "latents must be 1 or more"),
        ({"features": [1]}, "Expected `object`, got `array`"),
        ({"features": {"abc": {}}}, "speaks of latent 'abc'"),
        ({"features": {"99": {"labels": []}}, "latents": 9}, "speaks of latent '99'"),
        ({"features": {"1": {"labels": [{"label": 3}]}}}, "label"),
        ({"features": {"1": {"proofs": [{"verdict": "causal"}]}}}, "side_effects"),
        ({"history": [{"fvu": "low"}]}, "history"),
    ],
)
def test_a_damaged_manifest_is_refused_and_named(sae, tmp_path, manifest, says):
    sae.save(tmp_path / "sae")
    (tmp_path / "sae" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(im.RequestError, match=says):
        im.load_sae(tmp_path / "sae")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda sae: sae.label(9, "x"), "no latent 9"),
        (lambda sae: sae.label(1, " "), "this one is empty"),
        (lambda sae: sae.label(1, "x", "confrmed"), "did you mean 'confirmed'"),
        (lambda sae: sae.note(proof((0.0, 1.0))), "of another dictionary"),
        (lambda sae: sae.note(3), "a proof or an evaluation is noted"),
    ],
)
def test_what_is_no_note_says_so(sae, call, says):
    with pytest.raises(im.RequestError, match=says):
        call(sae)
