"""What a person sees of features: the columns of the table, the pages of an opened row, the offline page."""

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

import interp_magics as im
from interp_magics.data.dictionary import Dictionary
from interp_magics.data.feature_browser import FeatureBrowser
from interp_magics.data.feature_table import FeatureMeta, FeatureTable
from interp_magics.data.latents import LatentActivations
from interp_magics.data.provenance import Provenance
from interp_magics.display.features import opened
from interp_magics.program.latents import BINS, DIRECTIONS, PLACES, Kept
from tests.pool.conftest import wait_for
from tests.unit.test_feature_proof import proof

STRINGS = {0: " the", 1: " harbor", 2: " sea", 3: "</script>"}
TEXTS = [[0, 1, 0, 2], [2, 3, 1]]


def table():
    """Four latents over two texts of seven tokens: 0 is active at every "the", 1 at "harbor", 2 at both, 3 never."""
    histogram = np.zeros((4, BINS), np.int64)
    histogram[[0, 1, 2], [12, 13, 14]] = [2, 2, 4]
    top = [(0, 0, 2, 3.0), (1, 1, 2, 8.0), (1, 0, 1, 5.0), (2, 0, 1, 9.0), (2, 1, 2, 4.0)]
    tensors = {
        "count": np.array([2, 2, 4, 0]),
        "total": np.array([4.0, 13.0, 20.0, 0.0]),
        "squares": np.array([10.0, 89.0, 130.0, 0.0]),
        "histogram": histogram,
        "directions": np.zeros((4, DIRECTIONS), np.float32),
        "places": np.eye(4, PLACES, dtype=np.float32),
        "token_key": np.array([0, (1 << 32) + 1, (2 << 32) + 1, 2 << 32]),
        "token_total": np.array([4.0, 13.0, 13.0, 7.0], np.float32),
        "token_count": np.array([2, 2, 2, 2], np.int32),
        "effect_ids": np.array([[2, 0]] * 4, np.int32),
        "effect_values": np.array([[0.5, -0.25]] * 4, np.float32),
        "piece_text": np.array([[0, 0], [1, 0]], np.int32),
        "piece_ids": np.array([token for text in TEXTS for token in text], np.int32),
        "piece_offsets": np.array([0, 4, 7]),
    }
    for name, rows in (("top", top), ("samples", [])):
        columns = np.array(rows, float).reshape(-1, 4).T
        kinds = (np.int64, np.int32, np.int32, np.float32)
        tensors |= {
            f"{name}_{column}": values.astype(kind)
            for column, values, kind in zip(("key", "piece", "position", "value"), columns, kinds, strict=True)
        }
        tensors[f"{name}_order"] = -columns[3]
    provenance = Provenance("tiny", "main", "c", "t", "float32", "e", {}, {})
    return FeatureTable(FeatureMeta("resid_post", 1, "d", Kept(), 7, 2, STRINGS, provenance), tensors)


def strengths(texts, latent):
    return [np.arange(len(text), dtype=float) for text in texts]


def browsed(**more):
    draw = np.random.default_rng(0)
    sae = Dictionary(draw.standard_normal((6, 4)), draw.standard_normal((4, 6)), np.zeros(4), np.zeros(6))
    found = replace(
        proof((0.0, 1.0), (0.0, 0.3), controls=((1.0, 1.0), (0.0, 0.0))), latent=2, made_from={"dictionary": sae.digest}
    )
    return FeatureBrowser(table(), sae.label(2, "of the sea", by="ada").note(found), **more)


def test_the_columns_are_those_of_the_table():
    made = table()
    assert made.leading_tokens(2).tolist() == [[0, -1], [1, -1], [1, 0], [-1, -1]]
    assert made.promoted_tokens(3).tolist() == [[2]] * 4
    view = FeatureBrowser(made, prompt=LatentActivations((" the", " sea"), (0, 2), (0, 1, 2, 3), np.eye(2, 4))).widget()
    assert view.header["layout"]["active"]["shape"] == [4, 5]
    assert view.header["strings"] == {"0": " the", "1": " harbor", "2": " sea"}
    assert view.header["prompt"] == [" the", " sea"] and view.header["layout"]["prompt_latents"]["shape"] == [2, 1]
    assert view.header["lowest"] == 0 and view.header["layout"]["histogram"]["shape"] == [4, 3]


def test_latents_that_are_active_together_are_one_cluster():
    made = table()
    draw = np.random.default_rng(0).standard_normal((3, PLACES))
    a, b, c = draw / np.linalg.norm(draw, axis=1, keepdims=True)
    places = np.stack([a, 0.8 * a + 0.6 * b, 0.8 * b + 0.6 * c, 0 * a]) * np.sqrt([[10], [89], [130], [0]])
    made = replace(made, tensors={**made.tensors, "places": places})
    assert [list(one) for one in made.clusters(0.7)] == [[0, 1]]
    assert [list(one) for one in made.clusters(0.4)] == [[0, 1, 2]]
    assert made.clusters(0.95) == []


def test_an_opened_row_tells_first_what_is_known_and_then_what_is_read():
    first, then = opened(browsed(strengths=strengths), 2, 0)
    assert [one["values"] for one in first["examples"]] == [None, None] and "being read" in first["note"]
    assert [one["values"] for one in then["examples"]] == [[0, 1, 2, 3], [0, 1, 2]] and then["note"] == ""
    assert then["examples"][0]["tokens"] == (" the", " harbor", " the", " sea") and then["examples"][0]["at"] == 1
    assert then["active"] == [(" harbor", 13.0), (" the", 7.0)] and then["promotes"] == ((" sea", 0.5),)
    assert then["labels"][0]["by"] == "ada" and then["proof"]["verdict"] == "causal"
    curve = then["proof"]["levels"]
    assert curve["values"] == [1.0, 2.0] and curve["feature"] == pytest.approx([0.0, 0.3])
    assert curve["low"][1] < 0.3 < curve["high"][1] and curve["controls"] == [[0.0, 0.0]]
    (alone,) = opened(FeatureBrowser(table()), 3, 0)
    assert alone["examples"] == [] and alone["pages"] == 0 and alone["proof"] is None


def test_what_another_row_tells_too_late_is_not_shown():
    slow = threading.Event()

    def strengths_of(texts, latent):
        assert latent != 0 or slow.wait(120)
        if latent == 0:
            raise RuntimeError("too late")
        return strengths(texts, latent)

    view = browsed(strengths=strengths_of).widget()
    view.opened = 0
    view.opened = 2
    wait_for(lambda: view.detail.get("note") == "" and view.detail["latent"] == 2)
    slow.set()
    time.sleep(0.1)
    assert view.detail["latent"] == 2 and "error" not in view.detail


def test_a_page_is_written_though_strengths_cannot_be_read(tmp_path):
    def gone(texts, latent):
        raise im.PoolUnavailable("the pool is gone")

    text = browsed(strengths=gone, opened=2).to_html(tmp_path / "page.html").read_text()
    assert "could not be read: the pool is gone" in text


def test_what_goes_wrong_while_a_row_is_read_is_told_in_it():
    def broken(texts, latent):
        raise ValueError("the pool is gone")

    view = browsed(strengths=broken).widget()
    view.opened = 2
    wait_for(lambda: "error" in view.detail)
    assert view.detail == {"latent": 2, "page": 0, "error": "ValueError: the pool is gone"}


def test_a_page_holds_what_an_open_row_shows_and_no_markup(tmp_path):
    text = browsed(opened=2).to_html(tmp_path / "page.html").read_text()
    state = json.loads(text.split('id="state">')[1].split("</script>")[0].replace("\\u003c", "<"))
    assert list(state["traits"]["details"]) == ["2", "0", "1", "3"]
    assert state["traits"]["details"]["2"]["examples"][1]["tokens"] == [" sea", "</script>", " harbor"]
    assert "<table" in browsed()._repr_mimebundle_()[0]["text/html"] and " harbor" in str(table())
