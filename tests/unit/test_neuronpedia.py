"""Neuronpedia's records: labels that others gave are taken over, ours are written as theirs are."""

import gzip
import json

import numpy as np
import pytest

import interp_magics as im
from tests.unit.test_feature_browser import browsed, strengths


@pytest.fixture
def sae():
    return browsed().dictionary


def record(index, description, **more):
    return {
        "modelId": "gemma-2-2b",
        "layer": "20-gemmascope-res-16k",
        "index": index,
        "description": description,
        **more,
    }


def test_explanations_become_proposed_labels_of_who_made_them(sae, tmp_path):
    lines = [
        record("1", "harbours", explanationModelName="gpt-4o-mini", typeName="oai_token-act-pair", embedding=[0.5]),
        record("1", "boats", explanationModelName=None),
        record("3", "  "),
    ]
    folder = tmp_path / "explanations"
    folder.mkdir()
    with gzip.open(folder / "batch-0.jsonl.gz", "wt") as file:
        file.write("\n".join(map(json.dumps, lines[:2])) + "\n\n")
    (folder / "batch-1.jsonl").write_text(json.dumps(lines[2]))
    made = im.read_neuronpedia(sae, tmp_path)
    assert made.labels == {1: "boats", 2: "of the sea"} and sae.labels == {2: "of the sea"}
    first, second = made.notes(1)["labels"]
    assert (first["label"], first["judgement"]) == ("harbours", "proposed") and second["by"] == "neuronpedia"
    assert first["by"] == "neuronpedia:gpt-4o-mini:oai_token-act-pair"
    (tmp_path / "list.json").write_text(json.dumps(lines[:1]))
    assert im.read_neuronpedia(sae, tmp_path / "list.json").labels[1] == "harbours"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (json.dumps(record("99", "x")), "record 1: there is no latent '99': the dictionary has 0 to 3"),
        (json.dumps(record("-1", "x")), "no latent '-1'"),
        (json.dumps({"index": "1"}), "missing required field"),
        ("{", "no file of Neuronpedia's explanations"),
        (json.dumps(record("9" * 5000, "x")), "there is no latent '99999"),
        (
            json.dumps(record("1", "x", more=0))[:-2] + "[" * 5000 + "]" * 5000 + "}",
            "no file of Neuronpedia's explanations",
        ),
    ],
)
def test_what_is_no_explanation_says_so(sae, tmp_path, content, says):
    (tmp_path / "some.jsonl").write_text(content)
    with pytest.raises(im.RequestError, match=says):
        im.read_neuronpedia(sae, tmp_path / "some.jsonl")


def test_a_folder_without_records_and_a_broken_archive_say_so(sae, tmp_path):
    with pytest.raises(im.RequestError, match=r"has no \.jsonl"):
        im.read_neuronpedia(sae, tmp_path)
    (tmp_path / "batch-0.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(im.RequestError, match="could not be read"):
        im.read_neuronpedia(sae, tmp_path)


def test_what_is_written_is_read_again(sae, tmp_path):
    made = im.write_neuronpedia(browsed(strengths=strengths), tmp_path / "export", "demo", "1-sae")

    def lines(folder):
        with gzip.open(made / folder / "batch-0.jsonl.gz", "rt") as file:
            return [json.loads(line) for line in file]

    (feature,) = lines("features")
    assert (feature["modelId"], feature["layer"], feature["index"]) == ("demo", "1-sae", "2")
    assert feature["frac_nonzero"] == pytest.approx(4 / 7) and feature["pos_str"] == [" sea"]
    first, second = lines("activations")
    assert first["tokens"] == [" the", " harbor", " the", " sea"] and first["values"] == [0, 1, 2, 3]
    assert (first["maxValue"], first["maxValueTokenIndex"], second["maxValueTokenIndex"]) == (3.0, 3, 2)
    plain = im.Dictionary(np.eye(4), np.eye(4), np.zeros(4), np.zeros(4))
    assert im.read_neuronpedia(plain, made).labels == {2: "of the sea"}
    with pytest.raises(im.RequestError, match="exists already"):
        im.write_neuronpedia(browsed(), made, "demo", "1-sae")
    with pytest.raises(im.RequestError, match="letters, digits"):
        im.write_neuronpedia(browsed(), tmp_path / "other", "../demo", "1-sae")


def test_without_strengths_no_activation_is_made_up(tmp_path):
    made = im.write_neuronpedia(browsed(), tmp_path / "export", "demo", "1-sae", latents=[0, 1])
    assert sorted(path.name for path in made.iterdir()) == ["features"]
